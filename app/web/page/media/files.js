// Files as people give them: dropped, folders too, or chosen; zips are looked into.

import { zipEntries } from "./zip.js";

/** @typedef {import("./zip.js").Entry} Entry */

// By their names only: the service says which it can read.
const IMAGE = /\.(jpe?g|jpe|jfif|png|webp|bmp|gif|tiff?|hei[cf]|hif|avif|jp2|j2k|jpx)$/i;
const ENDING = /\.[a-z0-9]{1,5}$/i;

/**
 * Says whether a file is an image, by its name.
 * @param {string} path
 */
export function isImage(path) {
  return IMAGE.test(path);
}

/**
 * Says whether a file may be an image: a name without an ending says nothing.
 * @param {string} path
 */
export function mayBeImage(path) {
  return isImage(path) || !ENDING.test(path);
}

/**
 * Lists what was dropped. Must be called while the event is handled: later its files are gone.
 * @param {DataTransfer} dropped
 * @returns {Promise<Entry[]>}
 */
export async function droppedFiles(dropped) {
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  if (!entries.length) return chosenFiles([...dropped.files]);
  /** @type {Entry[]} */
  const found = [];
  for (const entry of entries) await walk(/** @type {FileSystemEntry} */ (entry), "", found);
  return lookedInto(found);
}

/**
 * Lists files that were chosen in a dialog, with the paths below the folder that was chosen.
 * @param {readonly File[]} files
 * @returns {Promise<Entry[]>}
 */
export function chosenFiles(files) {
  return lookedInto(files.map((file) => entryOf(file, file.webkitRelativePath || file.name)));
}

/**
 * @param {File} file
 * @param {string} path
 * @returns {Entry}
 */
function entryOf(file, path) {
  return { path, size: file.size, read: async () => file };
}

/**
 * @param {FileSystemEntry} entry
 * @param {string} folder
 * @param {Entry[]} found
 */
async function walk(entry, folder, found) {
  const path = folder + entry.name;
  if (entry.isFile) {
    const own = /** @type {FileSystemFileEntry} */ (entry);
    const file = await new Promise((resolve, reject) => own.file(resolve, reject));
    found.push(entryOf(file, path));
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    // It gives a hundred at a time.
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const each of some) await walk(each, `${path}/`, found);
  }
}

/**
 * Replaces zips by what is in them. Rejects with ZipError.
 * @param {readonly Entry[]} entries
 * @returns {Promise<Entry[]>}
 */
async function lookedInto(entries) {
  const lists = entries.map(async (entry) =>
    /\.zip$/i.test(entry.path) ? zipEntries(await entry.read()) : [entry],
  );
  return (await Promise.all(lists)).flat();
}
