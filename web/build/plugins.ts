/** What the build of the page does beyond Vite. */

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { HtmlTagDescriptor, Plugin } from "vite";

/** While the page is developed, addresses below `path` are those of `page`, as the server has them. */
export function servedAt(path: string, page: string): Plugin {
  return {
    name: "millrace:served-at",
    configureServer(server) {
      server.middlewares.use((request, _, next) => {
        const url = request.url ?? "";
        if (url === path || url.startsWith(`${path}/`)) request.url = page;
        next();
      });
    },
  };
}

/** Fetched behind all else, and only fetched: to read a large script takes the browser's time before it is needed. */
const LATER = { rel: "preload", fetchpriority: "low" };

/**
 * Chunks that the script of `page` imports in any case are fetched along with it, and not only when they are imported:
 * `first` those that it needs at once, which are made ready to run, and `then` others, which keep nobody waiting.
 */
export function fetchedAlong(page: string, first: readonly string[], then: readonly string[]): Plugin {
  return {
    name: "millrace:fetched-along",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(html, { bundle, filename }) {
        if (!bundle || !filename.endsWith(page)) return;
        const links = new Map<string, HtmlTagDescriptor>();
        const link = (file: string, attrs: Record<string, string>) => {
          if (!html.includes(file)) links.set(file, { tag: "link", attrs: { ...attrs, href: `/${file}`, crossorigin: "" }, injectTo: "head" });
        };
        const follow = (file: string, attrs: Record<string, string>) => {
          const chunk = bundle[file];
          if (chunk?.type !== "chunk" || links.has(file)) return;
          link(file, attrs);
          for (const style of chunk.viteMetadata?.importedCss ?? []) link(style, { ...LATER, as: "style" });
          for (const other of chunk.imports) follow(other, attrs);
        };
        const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
        const named = (names: readonly string[]) => chunks.filter(({ name }) => names.includes(name));
        for (const { fileName } of named(first)) follow(fileName, { rel: "modulepreload" });
        for (const { fileName } of named(then)) follow(fileName, { ...LATER, as: "script" });
        return [...links.values()];
      },
    },
  };
}

/** Smaller files are sent as they are. */
const LEAST_BYTES = 1024;

/** Puts beside each text its forms for browsers that take `gzip` or `br`, as small as they get. */
export function compressed(): Plugin {
  return {
    name: "millrace:compressed",
    apply: "build",
    async writeBundle({ dir = "dist" }) {
      const compress = async (name: string) => {
        const file = join(dir, name);
        const text = await readFile(file);
        if (text.length < LEAST_BYTES) return;
        await writeFile(`${file}.gz`, await promisify(gzip)(text, { level: constants.Z_BEST_COMPRESSION }));
        await writeFile(`${file}.br`, await promisify(brotliCompress)(text));
      };
      const texts = (await readdir(dir, { recursive: true })).filter((name) => /\.(js|css|html|svg)$/.test(name));
      await Promise.all(texts.map(compress));
    },
  };
}
