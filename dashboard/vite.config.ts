import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Gateway that the dev server forwards to: `mindbot serve` on its default address. */
const GATEWAY = "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { "~": "/src" } },
  build: {
    target: "es2022",
    // No asset becomes a data: URL, so that the policy needs no data: source.
    assetsInlineLimit: 0,
    // The preload helper would otherwise be an inline script in older browsers.
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
    // `npm run size` reads it.
    manifest: true,
    rolldownOptions: {
      output: {
        // What changes with the versions of two libraries, and not with our pages, stays cached across releases.
        codeSplitting: {
          groups: [
            { name: "react", test: /node_modules[\\/](react|react-dom|scheduler)[\\/]/, priority: 30 },
            { name: "antd", test: /node_modules[\\/](antd|@ant-design|@rc-component)[\\/]/, priority: 20 },
          ],
        },
      },
    },
  },
  server: {
    // The development server injects inline scripts, so the policy is checked on builds only.
    proxy: { "/api": GATEWAY },
  },
  test: { include: ["src/**/*.test.ts"] },
});
