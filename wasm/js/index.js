export {
  CrosspeerError,
  init,
  PeerConnection,
  PeerConnectionEvent,
  PeerManager,
  PeerMessageEvent,
  RelayClient,
  RelayMessageEvent,
  RelayStateEvent,
} from "./crosspeer.js";
