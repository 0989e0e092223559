from wd_server.streaming.lifecycle import BYE_REASONS, TRANSITIONS, CloseReason, StreamState


def test_every_state_has_its_row() -> None:
    assert set(TRANSITIONS) == set(StreamState)


def test_closed_is_final_and_reached_from_everywhere_else() -> None:
    assert TRANSITIONS[StreamState.CLOSED] == frozenset()
    for state in set(StreamState) - {StreamState.CLOSED}:
        assert StreamState.CLOSED in TRANSITIONS[state]


def test_nothing_leads_back_to_opening_or_out_of_closing_but_closed() -> None:
    assert all(StreamState.OPENING not in targets for targets in TRANSITIONS.values())
    assert TRANSITIONS[StreamState.CLOSING] == {StreamState.CLOSED}


def test_the_contracts_reasons_of_a_bye_are_the_ones_there_are() -> None:
    contract = {"shutdown", "lifetime", "token_expired", "revoked", "slow", "closed_by_owner"}
    assert {reason.value for reason in BYE_REASONS} == contract
    assert set(CloseReason) > BYE_REASONS
