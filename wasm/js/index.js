export {
  CrosspeerError,
  init,
  PeerConnection,
  PeerManager,
  PeerMessageEvent,
  RelayClient,
  RelayMessageEvent,
} from "./crosspeer.js";
