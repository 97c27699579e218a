// What the linter asks of the pages: the recommended rules of each, with types, and what the security policy needs.
import svelte from 'eslint-plugin-svelte';
import { defineConfig } from 'eslint/config';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

export default defineConfig(
  { ignores: ['built', 'built.new', 'node_modules', 'src/api/openapi.d.ts'] },
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig, extraFileExtensions: ['.svelte'] } },
  },
  {
    rules: {
      'svelte/no-at-html-tags': 'error', // no markup from strings: the content security policy stands on it
      'svelte/no-inline-styles': ['error', { allowTransitions: false }],
      'svelte/no-navigation-without-resolve': 'off', // about SvelteKit's base path; ours is /
      'no-restricted-globals': ['error', 'localStorage', 'sessionStorage'], // a browser may let nobody: `storage.ts` knows
      'svelte/prefer-svelte-reactivity': 'off', // a value built and handed on whole needs no reactive container
    },
  },
  { files: ['src/storage.ts'], rules: { 'no-restricted-globals': 'off' } },
);
