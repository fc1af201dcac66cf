//! Each behaviour that Muster relies on, on the model and on a real nats-server; where replicas matter, on three.

use sim::bus::Order;
use sim::conformance::{calls, logs, outages, queues};

use crate::stages;

/// Makes the tests of each behaviour; a macro, so that each has its name in the runner.
macro_rules! on {
    ($module:ident, $stage:expr, paused: $paused:literal, $($area:ident: $($name:ident)*;)*) => {
        mod $module {
            use super::*;
            $($(
                #[tokio::test(start_paused = $paused)]
                async fn $name() {
                    $area::$name(&$stage.await).await;
                }
            )*)*
        }
    };
}

macro_rules! on_model_and_server {
    ($($behaviours:tt)*) => {
        on!(model, stages::model(Order::ConflictFirst), paused: true, $($behaviours)*);
        on!(server, stages::nats(), paused: false, $($behaviours)*);
    };
}

macro_rules! on_three {
    ($($behaviours:tt)*) => {
        on!(model_of_three, stages::model(Order::DuplicateFirst), paused: true, $($behaviours)*);
        on!(three_servers, stages::cluster(), paused: false, $($behaviours)*);
    };
}

on_model_and_server! {
    logs:
        a_log_that_is_not_there_is_said_to_be_missing
        a_log_is_made_once_and_keeps_its_identity
        a_log_that_is_there_is_taken_whatever_its_first_number
        two_that_make_a_log_at_once_get_the_same
        a_log_starts_to_count_where_it_is_told
        appends_are_counted_and_dated
        an_entry_comes_back_whole
        an_append_is_taken_only_on_the_entry_that_it_expects
        an_expectation_of_one_subject_does_not_mind_others
        an_expectation_may_span_subjects
        a_message_id_is_taken_once
        a_message_id_counts_although_its_entry_was_replaced
        an_append_sent_again_conflicts_or_is_a_duplicate_by_the_replicas
        a_refused_append_does_not_use_up_its_message_id
        an_entry_with_a_lifetime_removes_itself
        only_buckets_take_lifetimes
        what_is_too_large_is_refused
        the_last_of_a_filter_is_the_newest_of_all
        a_reader_of_a_bucket_gets_the_last_of_each_and_then_what_comes
        a_reader_of_a_stream_gets_every_entry_from_its_place_on
        a_reader_gets_what_its_filter_says
        a_reader_may_wait_for_numbers_to_come
        a_deletion_is_an_entry_like_any_other;
    queues:
        a_queue_has_one_entry_of_a_subject
        a_finished_entry_is_gone
        a_message_id_counts_although_its_entry_was_finished
        an_entry_is_with_one_consumer_at_a_time
        an_entry_whose_lease_ended_is_delivered_again
        an_extended_lease_does_not_end
        an_entry_that_was_given_back_comes_again_after_its_time
        an_entry_is_finished_by_who_held_it_last_or_before
        entries_are_shared_by_consumers
        work_waits_for_a_consumer;
    calls:
        a_request_is_answered_with_headers
        a_refusal_comes_with_its_headers_and_no_body
        nobody_there_is_said_at_once
        a_request_that_nobody_answers_ends_at_its_timeout
        a_request_that_is_too_large_is_refused
        instances_share_requests_and_each_is_answered_once
        a_server_that_stopped_takes_no_more
        a_server_that_was_dropped_takes_no_more
        a_signal_reaches_all_who_listen_in_order;
    outages:
        readers_end_when_the_connection_was_lost_and_is_back
        a_subscription_lives_on_after_an_outage
        a_log_is_the_same_after_an_outage
        a_restart_forgets_the_message_ids_of_replaced_entries
        an_append_during_an_outage_is_unknown_or_done_but_never_refused
        what_is_asked_during_an_outage_fails_without_saying_that_logs_are_missing
        a_lost_log_is_missing_and_another_when_it_is_made_again
        an_entry_that_was_held_during_an_outage_is_delivered_again;
}

on_three! {
    logs:
        an_append_is_taken_only_on_the_entry_that_it_expects
        an_append_sent_again_conflicts_or_is_a_duplicate_by_the_replicas
        a_refused_append_does_not_use_up_its_message_id;
    queues:
        a_queue_has_one_entry_of_a_subject;
}
