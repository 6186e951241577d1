"""Errors of workspaces, by their meanings."""

from __future__ import annotations

from homewright.errors import HomewrightError, UsageError


class WorkspaceError(HomewrightError):
    """A workspace cannot be made, reached or changed."""

    code = "workspace"


class InstanceNotFound(UsageError):
    """There is no such workspace."""

    code = "instance-not-found"


class NotOurs(WorkspaceError):
    """Something of this name is there, and belongs to somebody else or was not made by Homewright."""

    code = "not-ours"


class ChangedMeanwhile(WorkspaceError):
    """Somebody else changed the workspace between our look and our action."""

    code = "changed-meanwhile"


class StorageFailed(WorkspaceError):
    """Its folders cannot be made: disk full, read-only."""

    code = "storage-failed"


class InstanceFailed(WorkspaceError):
    """Its unit cannot be made or started, or does not answer."""

    code = "instance-failed"


class BundleError(WorkspaceError):
    """code-server cannot be had, or is not what it should be."""

    code = "bundle"


class NeedsAcceptance(WorkspaceError):
    """Nothing was done: there is a warning that somebody must accept first (`accept_…`)."""

    code = "needs-acceptance"
    exit_code = 2


class TemplateError(WorkspaceError):
    """A template's file cannot be read, or says something wrong."""

    code = "template"
    exit_code = 2


class MissingRight(WorkspaceError):
    """The cluster knows us, and does not let us do this."""

    code = "unauthorized"


class Refused(WorkspaceError):
    """The cluster does not take an object: a quota, a policy of its own, something wrong in it."""

    code = "refused"


class NoMetrics(WorkspaceError):
    """The cluster does not measure what is used."""

    code = "no-metrics"


class WillNotStart(WorkspaceError):
    """Nothing was done: it is foreseen that the workspace would not start."""

    code = "will-not-start"
    exit_code = 2


class RepositoryDenied(WorkspaceError):
    """Nothing was done: it is foreseen that its repository would not be cloned."""

    code = "repository-access-denied"
    exit_code = 2


class RoutingFailed(WorkspaceError):
    """Its address cannot be made."""

    code = "routing-failed"


class ServiceFailed(WorkspaceError):
    """Its Service cannot be made."""

    code = "service-failed"
