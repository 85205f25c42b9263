// Reading zip files, one image at a time: the directory at the end says where each one begins.

/** @typedef {{path: string, size: number, read: () => Promise<Blob>}} Entry */

const DIRECTORY_END = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
// The end record, with the longest comment there can be behind it.
const LONGEST_END = 22 + 65_535;
const UTF8_FLAG = 0x800;
const [STORED, DEFLATED] = [0, 8];

/** A file that is not a zip, or one that this page cannot read. */
export class ZipError extends Error {}

/**
 * Lists the files in a zip. Rejects with ZipError.
 * @param {Blob} file
 * @returns {Promise<Entry[]>}
 */
export async function zipEntries(file) {
  const tailStart = Math.max(0, file.size - LONGEST_END);
  const tail = new DataView(await file.slice(tailStart).arrayBuffer());
  let at = tail.byteLength - 22;
  while (at >= 0 && tail.getUint32(at, true) !== DIRECTORY_END) at -= 1;
  if (at < 0) throw new ZipError("It is not a zip file, or it is cut off.");
  const [number, size] = [tail.getUint16(at + 10, true), tail.getUint32(at + 12, true)];
  const offset = tail.getUint32(at + 16, true);
  if (offset === 0xffffffff || number === 0xffff)
    throw new ZipError("It is too large for this page: unpack it, and drop the folder.");
  const directory = new DataView(await file.slice(offset, offset + size).arrayBuffer());
  return [...entriesOf(file, directory)];
}

/**
 * @param {Blob} file
 * @param {DataView} directory
 * @returns {Generator<Entry>}
 */
function* entriesOf(file, directory) {
  let at = 0;
  while (at + 46 <= directory.byteLength && directory.getUint32(at, true) === DIRECTORY_ENTRY) {
    const flags = directory.getUint16(at + 8, true);
    const method = directory.getUint16(at + 10, true);
    const packed = directory.getUint32(at + 20, true);
    const size = directory.getUint32(at + 24, true);
    const nameLength = directory.getUint16(at + 28, true);
    const rest = directory.getUint16(at + 30, true) + directory.getUint16(at + 32, true);
    const start = directory.getUint32(at + 42, true);
    const raw = new Uint8Array(directory.buffer, at + 46, nameLength);
    const path = text(raw, flags).replaceAll("\\", "/");
    if (!path.endsWith("/")) {
      yield { path, size, read: () => unpacked(file, start, packed, method) };
    }
    at += 46 + nameLength + rest;
  }
}

/**
 * @param {Uint8Array} raw
 * @param {number} flags
 */
function text(raw, flags) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(raw);
  } catch {
    if (flags & UTF8_FLAG) throw new ZipError("A name in it is not text.");
    return new TextDecoder("windows-1252").decode(raw);
  }
}

/**
 * @param {Blob} file
 * @param {number} start of the entry's own header
 * @param {number} packed bytes
 * @param {number} method
 * @returns {Promise<Blob>}
 */
async function unpacked(file, start, packed, method) {
  const header = new DataView(await file.slice(start, start + 30).arrayBuffer());
  const begin = start + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  const bytes = file.slice(begin, begin + packed);
  if (method === STORED) return bytes;
  if (method !== DEFLATED) throw new ZipError("It is packed in a way that browsers cannot read.");
  return new Response(bytes.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
}
