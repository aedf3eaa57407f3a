//! Signed tokens (RFC 7519), verified by the keys of a JWKS file (RFC 7517).

use super::{Claims, Grant, Refusal};
use crate::config::RelayError;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use std::path::Path;
use std::sync::Arc;

/// Seconds by which clocks may differ.
const LEEWAY: u64 = 5;
/// Bytes of the shortest secret of HS256, as RFC 7518 §3.2 wants it.
const MIN_SECRET: usize = 32;

const FORGED: Refusal = Refusal::Invalid("This token was not signed by a key of this relay's.");
const EXPIRED: Refusal = Refusal::Invalid("This token has expired.");
const EARLY: Refusal = Refusal::Invalid("This token is not valid yet.");
const ELSEWHERE: Refusal = Refusal::Invalid("This token is not for this relay: its issuer or audience is another.");
const INCOMPLETE: Refusal = Refusal::Invalid("This token lacks `sub` or `exp`, or one of its claims cannot be read.");
const MALFORMED: Refusal = Refusal::Missing("The token is not a JWT.");

/// The keys whose tokens are taken.
pub(crate) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    key: DecodingKey,
    /// The one algorithm of this key: a token does not choose.
    validation: Validation,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Keys {
    pub(crate) fn read(path: &Path, issuer: Option<String>, audience: Option<String>) -> Result<Self, RelayError> {
        let text = std::fs::read_to_string(path).map_err(|source| RelayError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, issuer.as_deref(), audience.as_deref())
            .map_err(|error| RelayError::Config(format!("{}: {error}", path.display())))
    }

    fn parse(text: &str, issuer: Option<&str>, audience: Option<&str>) -> Result<Self, String> {
        let set: JwkSet = serde_json::from_str(text).map_err(|error| format!("not a JWKS: {error}"))?;
        let keys: Vec<Key> = set
            .keys
            .iter()
            .map(|jwk| Key::new(jwk, issuer, audience))
            .collect::<Result<_, _>>()?;
        match keys.is_empty() {
            true => Err("there is no key in it".into()),
            false => Ok(Self(keys)),
        }
    }

    pub(crate) fn judge(&self, token: &str) -> Result<Arc<Grant>, Refusal> {
        let header = decode_header(token).map_err(|_| MALFORMED)?;
        let fits = |key: &&Key| {
            key.validation.algorithms.contains(&header.alg) && (header.kid.is_none() || key.id == header.kid)
        };
        let mut refusal = FORGED;
        for key in self.0.iter().filter(fits) {
            match decode::<Claims>(token, &key.key, &key.validation) {
                Ok(data) if data.claims.sub.is_empty() => return Err(INCOMPLETE),
                Ok(data) => return Ok(Arc::new(Grant::new(data.claims, None))),
                Err(error) => {
                    refusal = match error.kind() {
                        ErrorKind::ExpiredSignature => EXPIRED,
                        ErrorKind::ImmatureSignature => EARLY,
                        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => ELSEWHERE,
                        ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => INCOMPLETE,
                        _ => continue, // another key may have signed it
                    }
                }
            }
        }
        Err(refusal)
    }
}

impl Key {
    fn new(jwk: &Jwk, issuer: Option<&str>, audience: Option<&str>) -> Result<Self, String> {
        let id = jwk.common.key_id.clone();
        let name = id.as_deref().unwrap_or("without kid");
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
            _ => {
                return Err(format!(
                    "key {name}: only HS256, RS256, ES256 and EdDSA (Ed25519) are understood"
                ));
            }
        };
        if let AlgorithmParameters::OctetKey(secret) = &jwk.algorithm
            && secret.value.len() * 3 / 4 < MIN_SECRET
        {
            return Err(format!("key {name}: a secret of HS256 has {MIN_SECRET} bytes or more"));
        }
        if let Some(said) = jwk.common.key_algorithm
            && said.to_string() != format!("{algorithm:?}")
        {
            return Err(format!("key {name}: its `alg` {said} is not {algorithm:?}"));
        }
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "sub"]);
        if let Some(issuer) = issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".into());
        }
        match audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".into());
            }
            None => validation.validate_aud = false,
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|error| format!("key {name}: {error}"))?;
        Ok(Self { id, key, validation })
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
