// Starts the page.

import { start } from "./shell.js";
import { restoreTheme } from "./theme.js";

restoreTheme();
start();
