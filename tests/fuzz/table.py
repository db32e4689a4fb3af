"""Every target, by name."""

from fuzz import (
    admin_api,
    broker_connection,
    codec_binary,
    codec_json,
    configuration,
    connection,
    http_request,
    import_file,
    records,
    state_file,
    store_rows,
    web_socket,
)

TARGETS = {
    module.TARGET.name: module.TARGET
    for module in (
        codec_binary,
        codec_json,
        connection,
        broker_connection,
        web_socket,
        http_request,
        admin_api,
        configuration,
        records,
        store_rows,
        import_file,
        state_file,
    )
}
