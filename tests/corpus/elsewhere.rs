//! Where the cases are tried that are no row of the table.

/// A case, the file and the tests in it.
pub type Elsewhere = (u8, &'static str, &'static [&'static str]);

/// What is no matter of octets, or of very many; and tests that show more of a case than its rows.
pub const ELSEWHERE: &[Elsewhere] = &[
    (1, "tests/handshake.rs", &["the_signature_leaves_before_anything_is_read"]),
    (4, "tests/reconnect.rs", &["a_peer_that_hangs_up_is_tried_again_at_the_interval_and_not_faster"]),
    (39, "tests/handshake.rs", &["only_the_legal_pairs_connect"]),
    (42, "tests/router.rs", &["a_name_that_begins_with_zero_cannot_be_claimed"]),
    (46, "tests/monitor.rs", &["a_peer_that_says_no_is_abandoned"]),
    (
        49,
        COUNTS,
        &[
            "hundreds_of_connections_that_stop_after_the_greeting_do_no_harm",
            "ten_thousand_connections_that_stop_after_the_greeting_do_no_harm",
        ],
    ),
    (49, "tests/running_out.rs", &["a_listener_that_ran_out_of_descriptors_recovers_and_does_not_spin"]),
    (
        50,
        COUNTS,
        &[
            "a_thousand_connections_that_are_reset_at_once_do_no_harm",
            "ten_thousand_connections_that_are_reset_at_once_do_no_harm",
        ],
    ),
    (
        68,
        COUNTS,
        &[
            "pings_whose_answers_nobody_reads_take_no_memory",
            "a_million_pings_whose_answers_nobody_reads_take_no_memory",
        ],
    ),
    (
        76,
        COUNTS,
        &[
            "tens_of_thousands_of_topics_of_one_peer_hold_up_nobody",
            "a_million_topics_of_one_peer_hold_up_nobody",
        ],
    ),
    (77, "tests/xpub.rs", &["a_topic_of_a_hundred_thousand_octets_comes_and_goes"]),
    (78, "tests/xpub.rs", &["an_end_without_a_beginning_is_not_passed_on"]),
    (79, "tests/pubsub.rs", &["odd_forms_of_subscriptions_do_no_harm"]),
    (
        80,
        COUNTS,
        &[
            "large_messages_to_a_publisher_take_no_memory",
            "thousands_of_large_messages_to_a_publisher_take_no_memory",
        ],
    ),
    (81, "tests/pubsub.rs", &["what_a_publisher_sends_unasked_is_filtered_and_counted"]),
    (82, "tests/pubsub.rs", &["a_subscriber_that_does_not_read_loses_messages_and_others_lose_none"]),
    (83, "tests/reply.rs", &["what_is_no_question_is_thrown_away_and_the_next_is_served"]),
    (84, "tests/reply.rs", &["an_envelope_without_end_is_no_danger"]),
    (85, "tests/reply.rs", &["questions_of_one_peer_are_answered_in_order_and_those_of_many_in_turn"]),
    (
        86,
        "tests/request.rs",
        &[
            "only_the_peer_that_was_asked_can_answer",
            "a_peer_that_answers_nonsense_is_disconnected_and_nothing_of_it_delivered",
        ],
    ),
    (87, "tests/request.rs", &["a_correlated_question_has_a_number_that_its_answer_repeats"]),
    (
        88,
        COUNTS,
        &[
            "of_hundreds_with_one_routing_id_there_is_one_owner",
            "of_a_thousand_with_one_routing_id_there_is_one_owner",
        ],
    ),
    (89, "tests/router.rs", &["with_handover_a_second_peer_takes_the_name_over"]),
    (91, "tests/pair.rs", &["of_a_hundred_peers_at_once_one_is_served"]),
    (114, "tests/endpoints.rs", &["malformed_endpoints_are_errors"]),
    (115, CALLS, &["a_router_sends_nothing_to_odd_routing_ids"]),
    (
        116,
        CALLS,
        &[
            "a_message_of_no_part_has_one_and_is_empty",
            "a_message_of_a_million_parts_is_delivered_whole",
            "a_part_of_64_mebibytes_is_delivered",
            "a_part_of_a_gibibyte_is_delivered",
        ],
    ),
    (117, CALLS, &["routing_ids_that_nobody_may_have_are_refused"]),
];

const CALLS: &str = "tests/hostile/calls.rs";
const COUNTS: &str = "tests/hostile/counts.rs";
