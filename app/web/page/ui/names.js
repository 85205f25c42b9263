// What names may be made of, as the service takes them.

/** Of classifiers. */
export const NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]*";
export const NAME_HELP =
  "Letters without accents, digits, and - _ . between them; no spaces. It is part of addresses.";

/** Of versions. */
export const ALIAS = "[A-Za-z][A-Za-z0-9._\\-]*";
export const ALIAS_HELP =
  "Letters without accents, digits, and - _ . between them; a letter first.";
