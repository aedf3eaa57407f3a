//! What a TURN server answers to a client that wants a relayed address: seen in passing, since the engine does not tell.

/// The type of Allocate's success and error.
const ALLOCATED: [u8; 2] = [0x01, 0x03];
const REFUSED: [u8; 2] = [0x01, 0x13];
const ERROR_CODE: u16 = 0x0009;
const NONCE: u16 = 0x0015;

/// How far it has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allocation {
    /// Nothing has come yet.
    Asked,
    /// The server has asked who the client is, which is no refusal the first time.
    Challenged,
    /// There is a relayed address.
    Granted,
    /// There is none, and why.
    Refused(String),
}

impl Allocation {
    /// Whether this may be an answer to Allocate.
    pub(super) fn is_about(message: &[u8]) -> bool {
        message.starts_with(&ALLOCATED) || message.starts_with(&REFUSED)
    }

    /// The server has sent this.
    pub(super) fn see(&mut self, message: &[u8]) {
        if message.starts_with(&ALLOCATED) {
            *self = Self::Granted;
        } else if message.starts_with(&REFUSED) && *self != Self::Granted {
            let asks = attribute(message, NONCE).is_some();
            *self = match (asks, &self) {
                (true, Self::Asked) => Self::Challenged,
                _ => Self::Refused(refusal(message)),
            };
        }
    }
}

/// What an error response says, for people.
fn refusal(frame: &[u8]) -> String {
    let Some([_, _, class, number, phrase @ ..]) = attribute(frame, ERROR_CODE) else {
        return "it refused and gave no reason".into();
    };
    let code = u16::from(*class & 7) * 100 + u16::from(*number);
    let phrase: String = String::from_utf8_lossy(phrase)
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .collect();
    match code {
        401 | 441 => format!("it refused the user name or password ({code} {phrase})"),
        486 => format!("this user has as many relayed addresses as it may have ({code} {phrase})"),
        _ => format!("it refused: {code} {phrase}"),
    }
}

/// The value of a message's attribute.
fn attribute(frame: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = frame.get(20..)?;
    while let [t1, t2, l1, l2, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l1, *l2]));
        if u16::from_be_bytes([*t1, *t2]) == wanted {
            return after.get(..length);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u8, nonce: bool) -> Vec<u8> {
        let mut message = vec![0x01, 0x13, 0, 0];
        message.extend([0; 16]);
        message.extend([0, 9, 0, 7, 0, 0, 4, code, b'n', 0x1b, b'o', 0]);
        if nonce {
            message.extend([0, 0x15, 0, 2, b'x', b'y', 0, 0]);
        }
        message
    }

    #[test]
    fn a_challenge_is_no_refusal_but_two_are() {
        let mut allocation = Allocation::Asked;
        allocation.see(&refused(1, true));
        assert_eq!(allocation, Allocation::Challenged);
        allocation.see(&refused(1, true));
        let Allocation::Refused(why) = &allocation else {
            panic!("{allocation:?}")
        };
        assert!(why.contains("password") && why.contains("401 no"), "{why}");
        allocation.see(&[0x01, 0x03]);
        assert_eq!(allocation, Allocation::Granted);
        allocation.see(&refused(1, true));
        assert_eq!(allocation, Allocation::Granted, "of another socket");
        for cut in 0..refused(86, false).len() {
            let mut allocation = Allocation::Asked;
            allocation.see(&refused(86, false)[..cut]);
        }
    }
}
