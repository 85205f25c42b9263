// Hashes of files, by which the same file is known under another name.

/**
 * Returns the SHA-256 of bytes as text, or null where the browser has none: it computes hashes on
 * secure pages only (https, or this machine).
 * @param {Blob} blob
 * @returns {Promise<string | null>}
 */
export async function hashOf(blob) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
