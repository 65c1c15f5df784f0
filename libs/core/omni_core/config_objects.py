"""Configuration objects, what was done to them, and who asks for them, as messages."""

import msgspec
from omniroute_proto.auth.v1 import auth_pb2 as pb

from omni_core.ports.audit import AuditEntry
from omni_core.ports.configuration import ANYBODY, Caller, ConfigObject, ObjectChange


def caller_message(caller: Caller) -> pb.Caller:
    return pb.Caller(actor=caller.actor, organisation=caller.organisation)


def caller_from(message: pb.Caller) -> Caller:
    """One that names nothing is what a process of the version before sends."""
    return Caller(message.actor or ANYBODY.actor, message.organisation or ANYBODY.organisation)


def object_message(found: ConfigObject) -> pb.ConfigObject:
    return pb.ConfigObject(
        kind=found.kind,
        name=found.name,
        document=found.document,
        etag=found.etag,
        managed_by=found.managed_by,
        source=found.source,
        created=found.created,
        updated=found.updated,
    )


def object_from(message: pb.ConfigObject) -> ConfigObject:
    return ConfigObject(
        kind=message.kind,
        name=message.name,
        document=message.document,
        etag=message.etag,
        managed_by=message.managed_by,
        source=message.source,
        created=message.created,
        updated=message.updated,
    )


def change_message(change: ObjectChange) -> pb.ObjectChange:
    return pb.ObjectChange(
        action=change.action, kind=change.kind, name=change.name, before=change.before, after=change.after
    )


def change_from(message: pb.ObjectChange) -> ObjectChange:
    return ObjectChange(message.action, message.kind, message.name, message.before, message.after)


def entry_message(entry: AuditEntry) -> pb.AuditEntry:
    return pb.AuditEntry(**msgspec.structs.asdict(entry))


def entry_from(message: pb.AuditEntry) -> AuditEntry:
    return AuditEntry(**{name: getattr(message, name) for name in AuditEntry.__struct_fields__})
