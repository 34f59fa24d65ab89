"""A stack with an API key of its own: what `broadcast up`, `broadcast demo` and the benchmark start."""

from broadcast.database import connect
from broadcast.embedded.directory import write_private
from broadcast.embedded.stack import Stack
from broadcast.keys import create_key, list_keys, revoke_key

KEY_NAME = "embedded"
KEY_VARIABLE = "BROADCAST_API_KEY"
KEY_FILE = "api_key"


async def start_with_key(stack: Stack) -> str:
    """Start everything and wait until it is ready; the API key, the same one at every start on these data."""
    await stack.start_brokers()
    await stack.prepare()
    key = await _ensure_key(stack)
    await stack.start_processes()
    stack.write_environment(**{KEY_VARIABLE: key})
    return key


async def _ensure_key(stack: Stack) -> str:
    file = stack.data_dir / "secrets" / KEY_FILE
    connection = await connect(stack.settings)
    try:
        active = {key.name for key in await list_keys(connection) if key.revoked_at is None}
        if KEY_NAME in active and file.exists():
            return file.read_text()
        if KEY_NAME in active:
            await revoke_key(connection, KEY_NAME)
        _, key = await create_key(connection, KEY_NAME)
    finally:
        await connection.close()
    file.parent.mkdir(mode=0o700, exist_ok=True)
    write_private(file, key)
    return key
