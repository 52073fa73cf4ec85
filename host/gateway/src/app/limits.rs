//! The limits of the configuration, as those who keep them know them.

use crate::config::Limits;
use crate::{front, upstream};

/// What clients may take.
pub(super) fn of_clients(limits: &Limits) -> front::Limits {
    let Limits { http, connections, sessions, in_flight, .. } = limits;
    front::Limits {
        headers: http.headers,
        header_time: http.header_time,
        body: http.body,
        body_time: http.body_time,
        body_rate: http.body_rate,
        stall: http.write_stall,
        line: limits.message,
        connections: connections.total.get(),
        connections_per_address: connections.per_address.get(),
        sessions: sessions.total.get(),
        sessions_per_principal: sessions.per_principal.get(),
        unconfirmed: sessions.uninitialized,
        idle: sessions.idle,
        in_flight: in_flight.per_session.get(),
        ..front::Limits::default()
    }
}

/// What servers may take.
pub(super) fn of_servers(limits: &Limits) -> upstream::Limits {
    upstream::Limits {
        in_flight: limits.in_flight.total,
        in_flight_per_server: limits.in_flight.per_server,
        message: limits.message,
        streamed_result: limits.streamed_result,
        notifications: limits.notifications.per_second,
        notifications_at_once: limits.notifications.burst,
        retries: limits.retries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_file_are_those_of_the_parts() {
        let usual = Limits::default();
        assert_eq!(of_clients(&usual), front::Limits::default());
        assert_eq!(of_servers(&usual), upstream::Limits::default());
    }
}
