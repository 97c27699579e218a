/** The entry: finds out who is here and in which language, then shows the page of the address. */

import './look/tokens.css';
import './look/base.css';
import { mount } from 'svelte';
import './api/client.ts'; // every page asks by it: it comes with the entry, and no page brings it
import { startWorker } from './api/kept/worker.ts';
import { session } from './api/session.svelte.ts';
import App from './frame/App.svelte';
import { startRouting } from './frame/router.svelte.ts';
import { theme } from './frame/theme.svelte.ts';
import { language } from './words/language.svelte.ts';

theme.apply();
language.apply();
startRouting();
void session.start();
void startWorker();
const target = document.getElementById('app');
if (target !== null) mount(App, { target });
