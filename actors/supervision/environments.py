"""What each program is given to know: how services are reached, the settings, and only the secrets that it needs.

Other people's programs get nothing of ours; our own work under a role of their own in the database.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from msgspec import Struct

from actors.process.settings import NEEDED, SECRETS, VARIABLES, Settings, variable_of
from actors.supervision import ray_head
from persistence.database import roles
from persistence.database.roles import with_role
from persistence.embedded.process import Program, child_environment

DATABASE_ROLES = {
    "worker": roles.API,
    "background": roles.BACKGROUND,
    "receivers": roles.RECEIVER,
    "mails": roles.RECEIVER,
}


class Environments(Struct, frozen=True, kw_only=True):
    """Environments by what is settled: every address is in the settings."""

    settings: Settings
    embedded: Collection[str]  # the settings whose services run here
    own_sandbox: bool
    has_roles: bool  # in the database, for our processes
    inherited: Mapping[str, str]

    def to_connect(self) -> dict[str, str]:
        """How the services that run here are reached; see `RunNote.environment`."""
        found = {VARIABLES[name]: str(getattr(self.settings, name)) for name in self.embedded}
        if self.own_sandbox and self.settings.sandbox_url is not None:  # None: it has no place yet
            found["BOXOFFICE_SANDBOX_URL"] = self.settings.sandbox_url
        if self.settings.node:  # a command that took this machine for one by itself would draw schedules to it
            found["BOXOFFICE_NODE"] = self.settings.node
            found["BOXOFFICE_NODE_ADDRESS"] = self.settings.node_address
        if "ray_address" in self.embedded:
            found.update(ray_head.client_environment(self.settings.data_path))
        return found

    def of_ours(self, kind: str) -> dict[str, str]:
        """What a process of ours is given: the settings, but only the secrets that it needs, and a role of its own."""
        settings = self.settings.for_process(kind)
        if self.has_roles and settings.database_url is not None:
            settings = msgspec.structs.replace(
                settings, database_url=with_role(settings.database_url, DATABASE_ROLES[kind])
            )
        given = {**self.of_services(), **self.to_connect(), **settings.to_environment()}
        withheld = {variable_of(name) for name in SECRETS - NEEDED[kind]}
        return {name: value for name, value in given.items() if name not in withheld}

    def of_services(self) -> dict[str, str]:
        """What other people's programs get: nothing of ours."""
        everything = {*msgspec.structs.replace(self.settings, admin_email="", admin_password="").to_environment()}
        inherited = child_environment(self.inherited)
        return {name: value for name, value in inherited.items() if name not in everything}

    def of_service(self, service: Program) -> dict[str, str]:
        """Ray is both: another's program, whose worker processes run our actors. It must not look for itself."""
        if service.name != "ray":
            return self.of_services()
        return {name: value for name, value in self.of_ours("ray").items() if name != "RAY_ADDRESS"}
