import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, deflateRawSync } from "node:zlib";
import { ZipError, zipEntries } from "../../../app/web/page/media/zip.js";

/**
 * Writes a zip as the format's description says.
 * @param {{name: string, text: string, packed?: boolean}[]} files
 */
function zip(files) {
  /** @type {Buffer[]} */
  const parts = [];
  /** @type {Buffer[]} */
  const directory = [];
  let at = 0;
  for (const { name, text, packed = false } of files) {
    const [path, plain] = [Buffer.from(name), Buffer.from(text)];
    const data = packed ? deflateRawSync(plain) : plain;
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(packed ? 8 : 0, 4);
    fields.writeUInt32LE(crc32 ? crc32(plain) : 0, 10);
    fields.writeUInt32LE(data.length, 14);
    fields.writeUInt32LE(plain.length, 18);
    fields.writeUInt16LE(path.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), fields, path, data]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\x00"), fields, rest, path]));
    parts.push(local);
    at += local.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(files.length, 4);
  end.writeUInt16LE(files.length, 6);
  end.writeUInt32LE(list.length, 8);
  end.writeUInt32LE(at, 12);
  return new Blob([Buffer.concat([...parts, list, Buffer.from("PK\x05\x06"), end])]);
}

test("files of a zip, stored and packed", async () => {
  const entries = await zipEntries(
    zip([
      { name: "ant/", text: "" },
      { name: "ant/1.txt", text: "one" },
      { name: "bée\\2.txt", text: "two ".repeat(100), packed: true },
    ]),
  );
  assert.deepEqual(
    entries.map(({ path, size }) => [path, size]),
    [
      ["ant/1.txt", 3],
      ["bée/2.txt", 400],
    ],
  );
  assert.equal(await (await entries[0]?.read())?.text(), "one");
  assert.equal(await (await entries[1]?.read())?.text(), "two ".repeat(100));
});

test("what is not a zip is refused", async () => {
  await assert.rejects(
    zipEntries(new Blob(["no zip at all, but long enough to be one"])),
    ZipError,
  );
  await assert.rejects(zipEntries(new Blob([])), ZipError);
});
