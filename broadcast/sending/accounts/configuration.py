"""An account of the routes file as a configuration of `broadcast.smpp`."""

from broadcast.routing import Account
from broadcast.smpp.account import AccountConfig, BindConfig, Tls
from broadcast.smpp.codec.command_status import RTHROTTLED


def make_config(account: Account) -> AccountConfig:
    """The configuration of an account and of its binds."""
    tls = account.tls
    return AccountConfig(
        name=account.name,
        bind=BindConfig(
            host=account.host,
            port=account.port,
            system_id=account.system_id,
            password=account.password.get_secret_value() if account.password else "",
            system_type=account.system_type,
            interface_version=account.interface_version.octet,
            addr_ton=account.addr_ton,
            addr_npi=account.addr_npi,
            address_range=account.address_range,
            tls=None
            if tls is None
            else Tls(tls.ca_file, tls.certificate_file, tls.key_file, tls.server_name or account.host),
            window=account.window,
            connect_timeout_seconds=account.connect_timeout_seconds,
            session_init_seconds=account.session_init_seconds,
            response_timeout_seconds=account.response_timeout_seconds,
            enquire_link_seconds=account.enquire_link_seconds,
            throttled_statuses=frozenset(
                [RTHROTTLED, *[value for value, own in account.command_status.items() if own == "throttled"]]
            ),
            throttle_pause_seconds=account.throttle_pause_seconds,
            congestion_state=account.congestion_state,
            inactivity_seconds=account.inactivity_seconds,
            simulator_allowed=account.simulated,
        ),
        bind_mode=account.bind_mode,
        binds=account.binds,
        transmitters=account.transmitters,
        receivers=account.receivers,
        rate_per_second=account.rate_per_second,
        message_id_rule=account.message_id_rule,
        backoff_seconds=account.backoff_seconds,
        backoff_limit_seconds=account.backoff_limit_seconds,
    )
