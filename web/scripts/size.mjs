// The page must be small: everything that a browser loads, compressed.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const BYTES_MAX = 200_000;
const dist = fileURLToPath(new URL("../dist", import.meta.url));
const files = readdirSync(dist, { recursive: true }).map((name) => join(dist, name)).filter((path) => statSync(path).isFile());
const bytes = files.reduce((sum, path) => sum + gzipSync(readFileSync(path)).length, 0);
console.log(`the page: ${files.length} files, ${bytes} bytes compressed, at most ${BYTES_MAX}`);
if (bytes > BYTES_MAX) process.exit(1);
