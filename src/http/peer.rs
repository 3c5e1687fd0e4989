//! Who is at the other end: the real address behind trusted proxies, and the page that a browser speaks for.

use super::edge::Edge;
use super::error::{ApiError, Problem};
use actix_web::HttpRequest;
use actix_web::http::header::{AsHeaderName, HOST, ORIGIN};
use actix_web::web::Data;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// Headers by which a proxy admits to being one.
const PROXY_HEADERS: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "via"];

/// The address that a request came from: the peer's, or what `server.trusted_proxies` say of it.
pub fn client(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let trusted = request.app_data::<Data<Edge>>().map_or(&[][..], |edge| &edge.trusted_proxies);
    let told = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    Some(behind_proxies(peer, told.collect::<Vec<_>>().join(",").as_str(), trusted))
}

/// Walks the chain from our side: the first address that is not a trusted proxy is the client. Whatever stands left of
/// it, or cannot be read, is the client's own word and counts for nothing.
fn behind_proxies(peer: IpAddr, forwarded: &str, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut nearest = peer;
    for hop in forwarded.rsplit(',') {
        if !is_trusted(nearest) {
            break;
        }
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        nearest = address.to_canonical();
    }
    nearest
}

/// The part of an address that one customer of a provider holds: all of IPv4, the first half of IPv6.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

/// Whether the request was made on this machine, to a name of this machine, and through no proxy, trusted or not: one
/// that runs here makes every stranger look local.
pub fn is_this_machine(request: &HttpRequest) -> bool {
    let is_local = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_proxied = PROXY_HEADERS.iter().any(|name| request.headers().contains_key(*name));
    is_local && !is_proxied && is_loopback_name(header(request, HOST).unwrap_or_default())
}

/// Refuses pages of other origins, which a browser names truthfully, unless `allowed` lists theirs.
pub fn same_origin(request: &HttpRequest, allowed: &[String]) -> Result<(), ApiError> {
    let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = header(request, HOST).unwrap_or_default();
    let is_ours = origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    if is_ours || allowed.iter().any(|allowed| allowed == origin) {
        return Ok(());
    }
    Err(ApiError::new(Problem::Forbidden, "pages of this origin may not use the API; see `security.cors_origins`"))
}

/// One header's text; `None` when it is absent or no text.
pub fn header(request: &HttpRequest, name: impl AsHeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Whether a `Host` header names this machine, so that a rebound name does not.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        let table = [
            ("localhost:8080", true),
            ("127.0.0.1:8080", true),
            ("127.1.2.3", true),
            ("[::1]:8080", true),
            ("evil.example:8080", false),
            ("localhost.evil.example", false),
            ("", false),
        ];
        for (host, expected) in table {
            assert_eq!(is_loopback_name(host), expected, "{host}");
        }
    }

    #[test]
    fn a_proxied_request_is_never_of_this_machine() {
        let table = [
            ("direct", "127.0.0.1:9", None, true),
            ("direct, IPv6", "[::1]:9", None, true),
            ("mapped", "[::ffff:127.0.0.1]:9", None, true),
            ("another machine", "10.0.0.9:9", None, false),
            ("a proxy here", "127.0.0.1:9", Some(("x-forwarded-for", "203.0.113.7")), false),
            ("a proxy that forges", "127.0.0.1:9", Some(("x-forwarded-for", "127.0.0.1")), false),
            ("RFC 7239", "127.0.0.1:9", Some(("forwarded", "for=203.0.113.7")), false),
        ];
        for (case, peer, proxy, expected) in table {
            let mut request =
                TestRequest::default().peer_addr(peer.parse().unwrap()).insert_header((HOST, "localhost"));
            if let Some(header) = proxy {
                request = request.insert_header(header);
            }
            assert_eq!(is_this_machine(&request.to_http_request()), expected, "{case}");
        }
    }

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        let table = [
            ("no proxy", "203.0.113.7", "", "203.0.113.7"),
            ("an untrusted one", "203.0.113.7", "198.51.100.1", "203.0.113.7"),
            ("a trusted one", "10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("two trusted ones", "10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("the client's own word", "10.0.0.1", "127.0.0.1, 198.51.100.1", "198.51.100.1"),
            ("not an address", "10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
            ("nothing but proxies", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ];
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        for (case, peer, forwarded, expected) in table {
            let found = behind_proxies(peer.parse().unwrap(), forwarded, &trusted);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{case}");
        }
    }

    #[test]
    fn an_origin_is_ours_listed_or_refused() {
        let allowed = ["https://intranet.example".to_owned()];
        let table = [
            ("none", None, true),
            ("ours", Some("http://bot.example:8080"), true),
            ("listed", Some("https://intranet.example"), true),
            ("another", Some("https://evil.example"), false),
            ("a sandboxed page", Some("null"), false),
            ("longer than ours", Some("http://bot.example:8080.evil.example"), false),
            ("listed under another scheme", Some("http://intranet.example"), false),
        ];
        for (case, origin, expected) in table {
            let mut request = TestRequest::default().insert_header((HOST, "bot.example:8080"));
            if let Some(origin) = origin {
                request = request.insert_header((ORIGIN, origin));
            }
            assert_eq!(same_origin(&request.to_http_request(), &allowed).is_ok(), expected, "{case}");
        }
    }

    #[test]
    fn a_customer_cannot_walk_through_its_own_addresses() {
        let one = network_of("2001:db8::1".parse().unwrap());
        assert_eq!(one, network_of("2001:db8::ffff:2".parse().unwrap()));
        assert_ne!(one, network_of("2001:db8:0:1::1".parse().unwrap()));
    }
}
