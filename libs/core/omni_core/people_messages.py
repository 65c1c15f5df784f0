"""What the people's port tells, as messages; the names of their fields are the same."""

import msgspec
from omniroute_proto.auth.v1 import people_pb2 as pb

from omni_core.ports.people import Invitation, Opened, Origin, Person, SessionInfo, Who


def origin_message(found: Origin) -> pb.Origin:
    return pb.Origin(address=found.address, agent=found.agent)


def origin_from(message: pb.Origin) -> Origin:
    return Origin(message.address, message.agent)


def person_message(found: Person) -> pb.Person:
    return pb.Person(**msgspec.structs.asdict(found))


def person_from(message: pb.Person) -> Person:
    return Person(**{name: getattr(message, name) for name in Person.__struct_fields__})


def session_message(found: SessionInfo) -> pb.SessionInfo:
    return pb.SessionInfo(**msgspec.structs.asdict(found))


def session_from(message: pb.SessionInfo) -> SessionInfo:
    return SessionInfo(**{name: getattr(message, name) for name in SessionInfo.__struct_fields__})


def who_message(found: Who) -> pb.Who:
    return pb.Who(
        person=person_message(found.person), session=session_message(found.session), must_enrol=found.must_enrol
    )


def who_from(message: pb.Who) -> Who:
    return Who(person_from(message.person), session_from(message.session), message.must_enrol)


def opened_message(found: Opened) -> pb.Opened:
    return pb.Opened(token=found.token, who=who_message(found.who))


def opened_from(message: pb.Opened) -> Opened:
    return Opened(message.token, who_from(message.who))


def invitation_message(found: Invitation) -> pb.Invitation:
    return pb.Invitation(person=person_message(found.person), token=found.token, expires=found.expires)


def invitation_from(message: pb.Invitation) -> Invitation:
    return Invitation(person_from(message.person), message.token, message.expires)
