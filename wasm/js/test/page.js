// The page of both bundles: leaves what came out where the test finds it.
import { exchange } from "./exchange.js";

exchange(new URLSearchParams(location.search).get("relay")).then(
  (result) => (globalThis.result = result),
  (error) => (globalThis.result = `${error.name} ${error.code ?? ""}: ${error.message}\n${error.stack}`),
);
