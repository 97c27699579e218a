// How the pages are built: one entry, a file for each page, names that carry their content's digest.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [svelte()],
  // What d3-zoom takes from these is for animations, of which there are none here; with them it would be twice as large.
  resolve: { alias: [{ find: /^d3-(transition|interpolate)$/, replacement: new URL('src/seats/transitions.ts', import.meta.url).pathname }] },
  build: {
    target: 'es2022',
    manifest: true, // by which the server tells the browser early what a page needs
    modulePreload: { polyfill: false }, // every browser that runs the rest has it
    assetsInlineLimit: 0, // the content security policy takes files, not data
    sourcemap: false,
    reportCompressedSize: false,
    rolldownOptions: {
      input: { index: 'index.html', sw: 'src/worker.ts' },
      // A service worker has the address that it had, or it would be another one.
      output: { entryFileNames: ({ name }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
    },
  },
});
