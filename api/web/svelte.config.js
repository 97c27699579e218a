// Svelte takes TypeScript's types away by itself, so there is nothing to preprocess.
export default {
  compilerOptions: { runes: true },
};
