"""What answers are checked for, made of the configuration: classifiers, rules, the schema process."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.errors import ConfigError
from tidegate.relay.checks.plan import CheckPlan, Seat, promise_of
from tidegate.relay.checks.schemas import SchemaChecker
from tidegate.relay.classifiers import ClassifierError, close, make
from tidegate.safety.classifier import Classifier, ClassifierOptions
from tidegate.safety.profile import Profile
from tidegate.safety.validation import UserRules, ValidationError, ValidationOptions
from tidegate.wire.chat_request import ChatRequest

__all__ = ["Checking"]


class Checking:
    """One for a configuration.

    :param given: classifiers of the application that made the gateway, by name.
    :raises ConfigError: a classifier or a rule cannot be.
    """

    def __init__(
        self,
        options: ValidationOptions,
        classifiers: tuple[ClassifierOptions, ...],
        *,
        given: Mapping[str, Classifier],
        environ: Mapping[str, str],
    ) -> None:
        self._options = options
        try:
            self._rules = UserRules(options.rules) if options.rules else None
            self._seats = {each.name: Seat(each, given.get(each.name) or make(each, environ)) for each in classifiers}
        except (ValidationError, ClassifierError) as error:
            raise ConfigError(str(error)) from None
        self._given = frozenset(given)
        self._schemas = SchemaChecker(options.timeout)

    def plan(self, request: ChatRequest, profile: Profile, *, asked: bool) -> CheckPlan | None:
        """What the answers to a request are checked for; ``None``: nothing.

        :param asked: the request wants its answer checked, and to be told.
        """
        options = self._options
        promise = promise_of(request.fields)
        seats = tuple(self._seats[name] for name in profile.classifiers)
        strict = promise is not None and options.strict_json != "off"
        wants = asked or options.schema
        validates = bool(wants and promise) or strict or bool(options.finish_reasons or options.rules) or asked
        if not seats and not validates:
            return None
        return CheckPlan(
            options=options,
            rules=self._rules,
            promise=promise,
            schemas=self._schemas if wants else None,
            report=asked or options.report,
            validates=validates,
            seats=seats,
        )

    async def close(self) -> None:
        """End what runs. Classifiers that were given are their owner's."""
        await self._schemas.close()
        for name, seat in self._seats.items():
            if name not in self._given:
                await close(seat.classifier)
