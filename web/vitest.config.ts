import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    // What has to come gets its time, also on a loaded machine: how soon it comes decides no test.
    expect: { poll: { timeout: 20_000 } },
    projects: [
      { test: { name: "unit", include: ["test/{client,text,markdown,page}/**/*.test.ts"], testTimeout: 60_000 } },
      {
        test: {
          name: "browser",
          include: ["test/browser/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
