import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { compressed, fetchedAlong, servedAt } from "./build/plugins.ts";

// A server to talk to while developing the page: `make run`, then `npm run dev`.
const server = process.env.MILLRACE_URL ?? "http://127.0.0.1:7880";

export default defineConfig({
  plugins: [react(), servedAt("/watch", "/watch.html"), fetchedAlong("watch.html", ["mpegts"], ["page"]), compressed()],
  build: {
    target: "es2022",
    // The binary embeds this folder; maps would triple it.
    sourcemap: false,
    // Browsers that know no preloading fetch what they need later.
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200,
    rolldownOptions: {
      input: ["index.html", "watch.html"],
      output: {
        // Media and framework code changes far more rarely than the page, so browsers keep them cached.
        codeSplitting: {
          groups: [
            // First: what a group needs goes with it otherwise, and whoever watches would fetch livekit for React.
            { name: "react", test: /node_modules[\\/](react|react-dom|scheduler)[\\/]/, priority: 1 },
            { name: "livekit", test: /node_modules[\\/](livekit-client|@livekit)/ },
            // Fetched when a stream is played in their way, and by nobody else.
            { name: "hls", test: /node_modules[\\/]hls\.js/ },
            { name: "mpegts", test: /node_modules[\\/](mpegts\.js|es6-promise|webworkify)/ },
            { name: "vendor", test: /node_modules/ },
          ],
        },
      },
    },
  },
  server: {
    proxy: {
      "/api": server,
      "/rtc": { target: server, ws: true },
    },
  },
  test: {
    environment: "node",
    include: ["src/**/*.test.ts"],
  },
});
