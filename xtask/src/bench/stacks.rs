//! Who is measured.

/// One way to connect.
pub(crate) struct Stack {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The crate below bench/ that plays it; none is Python.
    pub(crate) package: Option<&'static str>,
    /// What it is called there.
    pub(crate) played: &'static str,
    /// As how many connections it carries one, where that is set.
    pub(crate) lanes: Option<u8>,
    pub(crate) default: bool,
    /// Programs and files that its package is built with, and the Debian packages that have them.
    pub(crate) needs: &'static [(&'static str, &'static str)],
    /// The only rows it is measured in, if not in all.
    pub(crate) only: Option<&'static [&'static str]>,
}

const STACK: Stack = Stack {
    name: "",
    title: "",
    package: Some("peer"),
    played: "",
    lanes: None,
    default: true,
    needs: &[],
    only: None,
};

pub(crate) const STACKS: &[Stack] = &[
    stack("crosspeer", "crosspeer, through crosspeer-relay", "peer"),
    lanes("crosspeer-1-lane", "crosspeer on one connection", 1),
    lanes("crosspeer-2-lanes", "crosspeer on two at once", 2),
    lanes("crosspeer-4-lanes", "crosspeer on four at once", 4),
    Stack {
        default: false,
        ..stack(
            "engine",
            "crosspeer's native layer alone: no link, no driver, no relay",
            "peer",
        )
    },
    stack(
        "raw",
        "the `webrtc` 0.21 crate with the same settings, nothing of ours",
        "peer",
    ),
    Stack {
        package: None,
        ..stack(
            "proxystore",
            "ProxyStore's PeerManager on uvloop, through proxystore-relay on uvloop",
            "",
        )
    },
    Stack {
        needs: &[
            ("cmake", "cmake"),
            ("clang", "clang"),
            ("c++", "g++"),
            ("/usr/include/openssl/ssl.h", "libssl-dev"),
        ],
        ..stack(
            "datachannel",
            "libdatachannel (C++), by the `datachannel` crate",
            "datachannel",
        )
    },
    Stack {
        only: Some(&["browser-to-native", "native-to-browser", "browser-to-browser"]),
        ..stack("plain", "a page's RTCDataChannel, nothing of ours", "peer")
    },
    stack("webrtc17", "the `webrtc` 0.17 crate, before its rewrite", "webrtc17"),
    stack("str0m", "str0m, a sans-IO WebRTC library", "str0m"),
    stack("quinn", "QUIC, for scale", "quinn"),
];

const fn stack(name: &'static str, title: &'static str, package: &'static str) -> Stack {
    Stack {
        name,
        title,
        package: Some(package),
        played: name,
        ..STACK
    }
}

/// Where the number of lanes makes a difference.
const fn lanes(name: &'static str, title: &'static str, lanes: u8) -> Stack {
    Stack {
        played: "crosspeer",
        lanes: Some(lanes),
        only: Some(&["1MiB", "loss", "long", "long-loss", "narrow"]),
        ..stack(name, title, "peer")
    }
}
