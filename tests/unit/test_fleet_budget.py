"""How many wrong passwords may be carried to a PBX."""

from __future__ import annotations

from wakerobin.services.fleet.budget import Grant, GuessingBudget, TooManyAtRegistrar, TooManyOfUser, Wait


def refuse(budget: GuessingBudget, user: str, now: float) -> None:
    assert budget.ask(user, now) == Grant()
    budget.settle(user, now, is_refused=True)


def test_four_refusals_in_ten_minutes_close_the_registrar_until_the_first_is_forgotten() -> None:
    budget = GuessingBudget(rate=100, most_refusals=4, now_s=0)
    for number in range(4):
        refuse(budget, f"user{number}", 10.0 * number)
    assert budget.ask("fresh", 40.0) == TooManyAtRegistrar(560.0)
    assert budget.ask("fresh", 600.0) == Grant()


def test_three_refusals_in_an_hour_close_the_user_and_nobody_else() -> None:
    budget = GuessingBudget(rate=100, most_refusals=100, now_s=0)
    for number in range(3):
        refuse(budget, "alice", 100.0 * number)
    assert budget.ask("alice", 1000.0) == TooManyOfUser(2600.0)
    assert budget.ask("bob", 1000.0) == Grant()
    assert budget.ask("alice", 3600.0) == Grant()


def test_a_proof_costs_nothing() -> None:
    budget = GuessingBudget(rate=100, most_refusals=2, now_s=0)
    for number in range(50):
        assert budget.ask("alice", float(number)) == Grant()
        budget.settle("alice", float(number), is_refused=False)


def test_open_trials_count_as_refusals_that_may_come() -> None:
    budget = GuessingBudget(rate=100, most_refusals=2, now_s=0)
    assert budget.ask("a", 0.0) == Grant()
    assert budget.ask("b", 0.0) == Grant()
    assert isinstance(budget.ask("c", 0.0), Wait)
    budget.settle("a", 1.0, is_refused=False)
    assert budget.ask("c", 1.0) == Grant()


def test_the_rate_is_one_a_second() -> None:
    budget = GuessingBudget(rate=1, most_refusals=100, now_s=0)
    assert budget.ask("a", 0.0) == Grant()
    assert budget.ask("b", 0.25) == Wait(0.75)
    assert budget.ask("b", 1.0) == Grant()
