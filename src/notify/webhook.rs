//! Standard Webhooks 1.0: the signature and the headers of a request.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What the text form of a symmetric secret begins with.
const PREFIX: &str = "whsec_";

/// The headers of one attempt. `id` is the same on every attempt, `seconds` (since the epoch) is
/// the attempt's own time. Every secret adds a signature, so that receivers can change over.
///
/// # Errors
/// A text that says which secret cannot be used; never the secret itself.
pub fn headers(
    secrets: &[String],
    id: &str,
    seconds: i64,
    body: &[u8],
) -> Result<[(&'static str, String); 3], String> {
    let signatures = secrets
        .iter()
        .map(|secret| sign(secret, id, seconds, body))
        .collect::<Result<Vec<_>, _>>()?;
    Ok([
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ])
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.seconds.body`.
fn sign(secret: &str, id: &str, seconds: i64, body: &[u8]) -> Result<String, String> {
    let unusable = || "the channel's secret is not of the form whsec_<base64>".to_owned();
    let key = STANDARD
        .decode(secret.strip_prefix(PREFIX).ok_or_else(unusable)?)
        .map_err(|_| unusable())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| unusable())?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Ok(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    /// The vector of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SECONDS: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_reference_vector() {
        assert_eq!(sign(SECRET, ID, SECONDS, BODY).unwrap(), SIGNATURE);
    }

    #[test]
    fn every_part_is_signed() {
        let changed = [
            sign("whsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ID, SECONDS, BODY),
            sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJel", SECONDS, BODY),
            sign(SECRET, ID, SECONDS + 1, BODY),
            sign(SECRET, ID, SECONDS, br#"{"test": 2432232315}"#),
        ];
        for other in changed {
            assert_ne!(other.unwrap(), SIGNATURE);
        }
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let other = "whsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let [id, time, signature] =
            headers(&[SECRET.to_owned(), other.clone()], ID, SECONDS, BODY).unwrap();
        assert_eq!((id.1.as_str(), time.1.as_str()), (ID, "1614265330"));
        let second = sign(&other, ID, SECONDS, BODY).unwrap();
        assert_eq!(signature.1, format!("{SIGNATURE} {second}"));
    }

    #[test]
    fn bad_secrets_are_named_without_being_shown() {
        for bad in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64"] {
            let error = sign(bad, ID, SECONDS, BODY).unwrap_err();
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
