/** The key or token of this tab: kept in sessionStorage, sent as a header, never in a URL. */
import { useSyncExternalStore } from "react";

const STORAGE_KEY = "musterd.key";
const listeners = new Set<() => void>();

export interface AuthState {
  /** The key of this tab, or null where the server asks for none. */
  key: string | null;
  /** Whether the server refused the last request for want of a valid key. */
  isRefused: boolean;
}

let state: AuthState = { key: readKey(), isRefused: false };

function readKey(): string | null {
  try {
    return sessionStorage.getItem(STORAGE_KEY);
  } catch {
    return null; // storage is blocked: the key lives as long as the page
  }
}

function update(next: AuthState): void {
  state = next;
  for (const listener of listeners) listener();
}

export function authState(): AuthState {
  return state;
}

export function signIn(key: string): void {
  try {
    sessionStorage.setItem(STORAGE_KEY, key);
  } catch {
    // See readKey.
  }
  update({ key, isRefused: false });
}

export function signOut(): void {
  try {
    sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // See readKey.
  }
  update({ key: null, isRefused: true });
}

/** Called on a 401. `usedKey` is the key of that request: a late answer to an older key must not lock a new one out. */
export function reportRefused(usedKey: string | null): void {
  if (usedKey === state.key && !state.isRefused) update({ ...state, isRefused: true });
}

/** Run `listener` after each change; returns how to stop. */
export function onAuthChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useAuth(): AuthState {
  return useSyncExternalStore(onAuthChange, authState);
}

export function authHeaders(): Record<string, string> {
  return state.key ? { Authorization: `Bearer ${state.key}` } : {};
}
