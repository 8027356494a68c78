import { defineConfig } from "vitest/config";

// What has to come gets its time, also on a loaded machine: how soon it comes decides no test.
// A project takes nothing over from the root of its own, so each says it.
const patient = { testTimeout: 120_000, hookTimeout: 120_000, expect: { poll: { timeout: 30_000 } } };

export default defineConfig({
  test: {
    projects: [
      { test: { ...patient, name: "unit", include: ["test/{client,text,markdown,page}/**/*.test.ts"] } },
      { test: { ...patient, name: "browser", include: ["test/browser/**/*.test.ts"], fileParallelism: false } },
    ],
  },
});
