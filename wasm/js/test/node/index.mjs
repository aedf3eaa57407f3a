// Node has neither global: the user gives both, here Google's own stack and `ws`.
import wrtc from "@roamhq/wrtc";
import { WebSocket } from "ws";
import { exchange } from "../exchange.js";

Object.assign(globalThis, { WebSocket, RTCPeerConnection: wrtc.RTCPeerConnection });
console.log(await exchange(process.env.CROSSPEER_TEST_RELAY));
process.exit(0); // the stack's threads would keep it
