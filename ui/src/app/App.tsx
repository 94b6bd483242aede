import { QueryClientProvider } from "@tanstack/react-query";
import { useEffect } from "react";
import { Router } from "wouter";
import { useAuth } from "../api/auth";
import { startFeed } from "../api/feed";
import { queryClient } from "../api/queries";
import { Frame } from "./Frame";
import { useHashLocation, useHashSearch } from "./hashLocation";
import { Pages } from "./Pages";
import { SignIn } from "./SignIn";

export function App() {
  return (
    <QueryClientProvider client={queryClient}>
      <Router hook={useHashLocation} searchHook={useHashSearch}>
        <Gate />
      </Router>
    </QueryClientProvider>
  );
}

/** A refused request asks for the key; the pages stay as they are below it where there was one. */
function Gate() {
  const { key, isRefused } = useAuth();
  useEffect(startFeed, []);
  if (isRefused && key === null) return <SignIn />;
  return (
    <Frame>
      <Pages />
      {isRefused ? <SignIn isAgain /> : null}
    </Frame>
  );
}
