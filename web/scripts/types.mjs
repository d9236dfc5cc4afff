// Makes src/api/types.ts from the description of the HTTP API: `node scripts/types.mjs` writes it,
// with --check it only says whether it is up to date.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const source = path("../../docs/reference/openapi.json");
const target = path("../src/api/types.ts");

/** TypeScript of a JSON schema. */
function type(schema, indent) {
  if (schema === true || schema === undefined) return "unknown";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  const union = schema.anyOf ?? schema.oneOf;
  if (union) return union.map((part) => type(part, indent)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const kinds = [schema.type ?? []].flat();
  if (kinds.length === 0) return "unknown";
  return kinds.map((kind) => one(kind, schema, indent)).join(" | ");
}

function one(kind, schema, indent) {
  switch (kind) {
    case "integer":
    case "number":
      return "number";
    case "array": {
      const item = type(schema.items, indent);
      return item.includes(" | ") ? `(${item})[]` : `${item}[]`;
    }
    case "object":
      if (schema.properties) return fields(schema, indent);
      return `Record<string, ${type(schema.additionalProperties, indent)}>`;
    default:
      return kind;
  }
}

function fields(schema, indent) {
  const inner = `${indent}  `;
  const lines = Object.entries(schema.properties).map(([name, field]) => {
    const text = field.description?.replaceAll("\n", " ");
    const about = text ? `${inner}/** ${text} */\n` : "";
    return `${about}${inner}${name}: ${type(field, inner)};`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

const { components } = JSON.parse(readFileSync(source, "utf8"));
const declared = Object.entries(components.schemas).map(([name, schema]) => {
  const about = schema.description ? `/** ${schema.description.replaceAll("\n", " ")} */\n` : "";
  return `${about}export type ${name} = ${type(schema, "")};\n`;
});
const made = `// Made from docs/reference/openapi.json by scripts/types.mjs.\n\n${declared.join("\n")}`;
if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== made) {
    console.error("web/src/api/types.ts is old; run `node scripts/types.mjs` in web/");
    process.exit(1);
  }
} else {
  writeFileSync(target, made);
}
