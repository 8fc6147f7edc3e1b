//! What to write instead of a bad value.

pub(super) fn wanted(key: &str) -> &'static str {
    match key {
        "listen" => "an address and a port, such as 127.0.0.1:3000 or [::]:3000",
        "ttl" => "a number of seconds from 1 to 31536000, such as 3600",
        "pin" => "a number of seconds from 0 to 31536000, such as 604800 for a week",
        "sweep" => "a number of seconds from 1 to 31536000, such as 60",
        "compat" | "stun" | "relay" | "debug_players" | "operator_anywhere" | "plain_http" => "true or false",
        "password" => "some characters, or leave it out for no password",
        "trusted_proxies" => "addresses or networks separated by commas, such as 127.0.0.1, 10.0.0.0/8",
        "max_records" => "a number from 1 to 1000000000, such as 2000000",
        "relay_rate" | "relay_rate_per_address" | "relay_rate_total" => {
            "a number of KiB a second from 1 to 16777216, such as 4096, or off"
        }
        _ if key.ends_with("_per_address") => "a number from 1 to 1000000000, such as 500",
        "max_sockets" => "a number from 0 to 1000000, such as 20000",
        "names" => {
            "hosts separated by commas, with a port where clients need one, such as book.example, 192.0.2.7:3000"
        }
        "udp_listen" => "an address and a port, such as 0.0.0.0:3478 or [::]:3478",
        "udp_address" => "a host and a port, such as phonebook.example:3478, or off",
        "workers" => "a number of threads from 1 to 256, such as 2",
        "operator" => "an address and a port, such as 127.0.0.1:3001, or off",
        "audit" => "the path of a file to write, or off",
        "audit_size" => "a number of bytes from 65536 to 1099511627776, such as 8388608",
        "audit_addresses" => "cut or full",
        "tls_cert" => "the path of a PEM file with the certificate and its chain, or off",
        "tls_key" => "the path of a PEM file with the certificate's key, or off",
        "redis" => "redis://[user:password@]host[:port][/db], or unix:///path/of/socket, or off",
        "redis_secret" => "16 characters or more, the same for all phone books that share the Redis",
        _ if key.starts_with("limit_") => "a rate, such as 100/s burst 1000 or 1/5s burst 10, or off",
        _ => "a number from 1 to 1000000, such as 32768",
    }
}
