//! Waiters that are set aside, and come back into line, while holds and work come and go.

use super::check::{Size, explore, join_all, spawn};
use super::claim::Form;
use super::world::{World, eager, explore_in};
use mlx_wired::{Error, Wait};

/// Whether a demand was let in; else it was refused beside what stays.
fn unless_refused<G>(taken: Result<G, Error>) -> bool {
    match taken {
        Ok(_) => true,
        Err(Error::NoRoom { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// A step that waits for a hold, which goes.
fn a_step_enters_while_a_hold_leaves(form: Form) {
    let world = World::new(eager());
    let hold = world.active("a", form, 3).reservation();
    let hold = hold.acquire_owned().unwrap();
    let step = world.active("a", form, 2);
    let releasing = spawn(move || drop(hold));
    drop(step.acquire().unwrap());
    releasing.join();
    world.finish();
}

#[test]
fn a_step_enters_while_a_hold_leaves_capped() {
    explore(Size::Two, || {
        a_step_enters_while_a_hold_leaves(Form::Capped(4));
    });
}

#[test]
fn a_step_enters_while_a_hold_leaves_custom() {
    explore(Size::Two, || {
        a_step_enters_while_a_hold_leaves(Form::Custom(4));
    });
}

/// Beside what stays the step is refused; it may also come first.
fn a_step_enters_while_a_hold_enters(form: Form) {
    let world = World::new(eager());
    let high = world.active("b", Form::Fixed(9), 1).acquire_owned();
    let warm = world.active("a", form, 0).acquire_owned();
    world.open();
    let hold = world.active("a", form, 3).staying_reservation();
    let step = world.active("a", form, 2);
    let stepping = spawn(move || unless_refused(step.acquire()));
    drop(hold.acquire().unwrap());
    stepping.join();
    drop((warm, high));
    world.finish();
}

#[test]
fn a_fast_step_enters_while_a_hold_enters() {
    explore(Size::Two, || {
        a_step_enters_while_a_hold_enters(Form::Capped(4));
    });
}

#[test]
fn a_step_enters_while_a_hold_enters_custom() {
    explore(Size::Two, || {
        a_step_enters_while_a_hold_enters(Form::Custom(4));
    });
}

/// A waiter that is set aside is in nobody's way: work that comes and goes does not serve it, and needs no lock.
#[test]
fn work_beside_a_waiter_for_a_hold() {
    explore_in(Size::Two, eager(), |world| {
        let _high = world.active("b", Form::Fixed(9), 1).acquire_owned();
        let hold = world.active("a", Form::Capped(4), 3).staying_reservation();
        let hold = hold.acquire_owned().unwrap();
        world.open();
        let waiting = world.active("a", Form::Capped(4), 2);
        let step = world.active("a", Form::Capped(4), 1);
        let waits = spawn(move || drop(waiting.acquire_with(Wait::new().for_holds()).unwrap()));
        drop(step.acquire().unwrap());
        drop(hold);
        waits.join();
    });
}

/// The second is set aside behind the first, or comes after that is back in line.
fn two_jobs_enter_while_a_hold_leaves(form: Form) {
    let world = World::new(eager());
    let hold = world.active("a", form, 3).staying_reservation();
    let hold = hold.acquire_owned().unwrap();
    let jobs = [4, 1].map(|bytes| {
        let job = world.active("a", form, bytes).staying_reservation();
        spawn(move || drop(job.acquire().unwrap()))
    });
    drop(hold);
    join_all(jobs);
    world.finish();
}

#[test]
fn two_jobs_enter_while_a_hold_leaves_capped() {
    explore(Size::Three, || {
        two_jobs_enter_while_a_hold_leaves(Form::Capped(4));
    });
}

#[test]
fn two_jobs_enter_while_a_hold_leaves_custom() {
    explore(Size::Three, || {
        two_jobs_enter_while_a_hold_leaves(Form::Custom(4));
    });
}

/// Under a budget one line serves all groups: a policy is asked about the first while another group's job comes.
#[test]
fn jobs_of_two_groups_enter_while_a_hold_leaves() {
    explore_in(Size::Three, eager().budget(4), |world| {
        let hold = world.active("b", Form::Sum, 3).staying_reservation();
        let hold = hold.acquire_owned().unwrap();
        let jobs = [("a", Form::Custom(4), 4), ("b", Form::Sum, 1)].map(|(group, form, bytes)| {
            let job = world.active(group, form, bytes).staying_reservation();
            spawn(move || drop(job.acquire().unwrap()))
        });
        drop(hold);
        join_all(jobs);
    });
}

/// The job is set aside behind the waiter, and nothing that the waiter does as it enters and leaves moves a hold.
#[test]
fn a_job_of_another_group_enters_while_a_hold_leaves() {
    explore_in(Size::Three, eager().budget(4), |world| {
        let hold = world.active("b", Form::Sum, 3).staying_reservation();
        let hold = hold.acquire_owned().unwrap();
        let waiting = world.active("a", Form::Custom(4), 4);
        let job = world.active("b", Form::Sum, 1).staying_reservation();
        let waits = spawn(move || drop(waiting.acquire_with(Wait::new().for_holds()).unwrap()));
        let enters = spawn(move || drop(job.acquire().unwrap()));
        drop(hold);
        join_all([waits, enters]);
    });
}

/// A hold that leaks while a step waits for it.
#[test]
fn a_step_enters_while_a_hold_leaks() {
    explore(Size::Two, || {
        let world = World::new(eager());
        let hold = world.active("a", Form::Capped(4), 3).reservation();
        let hold = hold.ticket.acquire_owned().unwrap();
        let step = world.active("a", Form::Capped(4), 2);
        let leaking = spawn(move || hold.leak());
        assert!(!unless_refused(step.acquire()), "it stays for ever");
        leaking.join();
    });
}

/// A hold grows while a step that fits beside it as it was waits for work, or comes.
#[test]
fn a_step_enters_while_a_hold_grows() {
    explore_in(Size::Two, eager(), |world| {
        let hold = world.active("a", Form::Capped(4), 1).staying_reservation();
        let mut hold = hold.acquire_owned().unwrap();
        let step = world.active("a", Form::Capped(4), 2);
        let growing = spawn(move || {
            hold.resize(3).unwrap();
            drop(hold);
        });
        unless_refused(step.acquire());
        growing.join();
    });
}
