/* rules_training_cases.h: training with every rule, and of transcoders, on one backend, against double precision (rules_run.h).
 * Brief: cases that reach every kernel once, for runs under sanitizers. Part of backend_check.cpp. Over 400 lines: a function
 * per kind of rule. */
#ifndef SAE_TEST_RULES_TRAINING_CASES_H
#define SAE_TEST_RULES_TRAINING_CASES_H

#include "rules_run.h"

namespace {

void check_batch_training(void *context, void *other, bool brief) {
    const Options base = with(rule_options(SAE_BATCH_TOPK, 4), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}});
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    const Options clipped = with(base, {{SAE_OPT_LOSS, SAE_LOSS_SUM_MEAN},
                                        {SAE_OPT_AUX_NORM, SAE_AUX_RESIDUAL_VARIANCE},
                                        {SAE_OPT_AUX_DETACH, 1},
                                        {SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP},
                                        {SAE_OPT_TRAIN_B_ENC, 1},
                                        {SAE_OPT_CLIP_NORM, 1},
                                        {SAE_OPT_CLIP_PROJECTED, 1},
                                        {SAE_OPT_THRESHOLD_RATE, 0.3},
                                        {SAE_OPT_THRESHOLD_AFTER, 2},
                                        {SAE_OPT_THRESHOLD_FROM_FIRST, 1}});
    const Options prefixes = with(base, {{SAE_OPT_PREFIXES, 3},
                                         {SAE_OPT_PREFIX_LATENTS, 10},
                                         {SAE_OPT_PREFIX_LATENTS + 1, 31},
                                         {SAE_OPT_PREFIX_LATENTS + 2, 61},
                                         {SAE_OPT_PREFIX_WEIGHT, 0.5},
                                         {SAE_OPT_PREFIX_WEIGHT + 1, 1},
                                         {SAE_OPT_PREFIX_WEIGHT + 2, 0.25}});
    check_rule_run(context, {"BatchTopK on two devices", 70, 19, 61, flags, clipped, SAE_HOST, {9, 12, 50}, other});
    check_rule_run(context, {"Matryoshka in parts", 70, 19, 61, flags, prefixes, SAE_HOST, {9, 12, 50}});
    if (brief) {
        return;
    }
    check_rule_run(context, {"BatchTopK", 70, 19, 61, flags, base, SAE_HOST});
    check_rule_run(context, {"BatchTopK with thresholds", 33, 32, 600, SAE_THRESHOLDS, base});
    check_rule_run(context, {"BatchTopK, one row", 1, 5, 9, flags, with(base, {{SAE_OPT_AUX_NORM, SAE_AUX_SUM_MEAN}})});
    check_rule_run(context, {"BatchTopK, wide rows", 5, 1032, 11, flags, base});
    check_rule_run(context, {"BatchTopK, long lists", 300, 12, 7, flags,
                             with(base, {{SAE_OPT_K, 3}, {SAE_OPT_CLIP_NORM, 0.5}, {SAE_OPT_AUX_DETACH, 1}})});
    check_rule_run(context, {"BatchTopK, clipped by the projection", 70, 19, 61, flags, clipped});
    check_rule_run(context, {"Matryoshka", 70, 19, 61, flags, prefixes});
    check_rule_run(context, {"Matryoshka, detached, fvu", 70, 19, 61, 0,
                             with(prefixes, {{SAE_OPT_AUX_DETACH, 1},
                                             {SAE_OPT_LOSS, SAE_LOSS_FVU},
                                             {SAE_OPT_AUX_NORM, SAE_AUX_TARGET_VARIANCE},
                                             {SAE_OPT_AUX_SCALE_BY_DEAD, 1},
                                             {SAE_OPT_TRAIN_B_ENC, 1}})});
    check_rule_run(context, {"BatchTopK that keeps nothing",
                             12,
                             8,
                             20,
                             flags,
                             with(base, {{SAE_OPT_AUX_COEFFICIENT, 0}}),
                             SAE_DEVICE,
                             {},
                             nullptr,
                             -100});
}

void check_changing_k(void *context, void *other, bool brief) {
    const std::vector<std::pair<int, double>> dying = {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}};
    const Options top = with(rule_options(SAE_TOPK, 4), dying);
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    check_rule_run(context, {"decreasing k", 40, 19, 61, flags, annealed(top, 40), SAE_HOST});
    if (brief) {
        return;
    }
    const Options batch = with(rule_options(SAE_BATCH_TOPK, 4), dying);
    check_rule_run(context, {"TopK", 40, 19, 61, flags, top});
    check_rule_run(context, {"decreasing k, screened", 40, 40, 600, 0, annealed(top, 32)});
    check_rule_run(context, {"increasing k in parts", 40, 19, 61, flags, annealed(top, 1), SAE_DEVICE, {9, 12}});
    check_rule_run(context,
                   {"decreasing k on two devices", 40, 19, 61, flags, annealed(top, 20), SAE_HOST, {9, 30}, other});
    check_rule_run(context, {"BatchTopK, decreasing k", 40, 19, 61, flags, annealed(batch, 20)});
    check_rule_run(
        context,
        {"BatchTopK, decreasing k, on two devices", 40, 19, 61, flags, annealed(batch, 20), SAE_HOST, {9, 30}, other});
}

void check_multi_topk(void *context, void *other, bool brief) {
    const Options base = with(rule_options(SAE_TOPK, 4),
                              {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}, {SAE_OPT_MULTI_TOPK, 0.125}});
    const Options fvu = with(base, {{SAE_OPT_LOSS, SAE_LOSS_FVU},
                                    {SAE_OPT_AUX_NORM, SAE_AUX_RESIDUAL_VARIANCE},
                                    {SAE_OPT_MULTI_TOPK, 2},
                                    {SAE_OPT_CLIP_NORM, 0.05},
                                    {SAE_OPT_TRAIN_B_ENC, 1}});
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    check_rule_run(context, {"multi-TopK in parts", 40, 19, 61, flags, fvu, SAE_DEVICE, {9, 12, 30}});
    if (brief) {
        return;
    }
    check_rule_run(context, {"multi-TopK", 40, 19, 61, flags, base, SAE_HOST});
    check_rule_run(context, {"multi-TopK, all latents", 20, 12, 13, flags, base});
    check_rule_run(context, {"multi-TopK, decreasing k, fvu, clipped", 40, 40, 600, 0, annealed(fvu, 12)});
    check_rule_run(context,
                   {"multi-TopK on two devices", 40, 19, 61, flags, annealed(base, 10), SAE_HOST, {9, 30}, other});
}

/* Latents that compete by norm or by size, and auxiliary losses that keep signs or have a level for each prefix. */
void check_ranked_training(void *context, void *other, bool brief) {
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    const std::vector<std::pair<int, double>> dying = {
        {SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}, {SAE_OPT_TRAIN_B_ENC, 1}};
    const std::vector<std::pair<int, double>> ranks = {
        {SAE_OPT_RANK_BY_NORM, 1}, {SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_NONE}, {SAE_OPT_PROJECT_GRADIENT, 0}};
    const std::vector<std::pair<int, double>> is_signed = {{SAE_OPT_AUX_SIGNED, 1}};
    const Options absolute = with(rule_options(SAE_ABS_TOPK, 4), dying);
    const Options top = with(rule_options(SAE_TOPK, 4), dying);
    const Options batch = with(with(rule_options(SAE_BATCH_TOPK, 4), dying), ranks);
    const Options levels = with(batch, {{SAE_OPT_PREFIXES, 3},
                                        {SAE_OPT_PREFIX_LATENTS, 10},
                                        {SAE_OPT_PREFIX_LATENTS + 1, 31},
                                        {SAE_OPT_PREFIX_LATENTS + 2, 61},
                                        {SAE_OPT_PREFIX_WEIGHT, 0.5},
                                        {SAE_OPT_PREFIX_WEIGHT + 1, 1},
                                        {SAE_OPT_PREFIX_WEIGHT + 2, 0.25},
                                        {SAE_OPT_AUX_BY_PREFIX, 1},
                                        {SAE_OPT_AUX_DETACH, 1},
                                        {SAE_OPT_AUX_K, 4},
                                        {SAE_OPT_AUX_NORM, SAE_AUX_RESIDUAL_VARIANCE},
                                        {SAE_OPT_AUX_SCALE_BY_DEAD, 1}});
    check_rule_run(context,
                   {"AbsTopK by norm, in parts", 40, 19, 61, flags, with(absolute, ranks), SAE_DEVICE, {9, 30}});
    check_rule_run(
        context,
        {"TopK by norm, signed, in parts", 40, 19, 61, flags, with(with(top, ranks), is_signed), SAE_HOST, {9, 30}});
    check_rule_run(context, {"Matryoshka by prefix, signed, on two devices",
                             70,
                             19,
                             61,
                             flags,
                             with(levels, is_signed),
                             SAE_HOST,
                             {9, 50},
                             other});
    if (brief) {
        return;
    }
    const std::vector<std::pair<int, double>> many = {{SAE_OPT_AUX_K, 40}}; // more than there are dead latents
    const Options clipped =
        with(absolute,
             {{SAE_OPT_LOSS, SAE_LOSS_FVU}, {SAE_OPT_AUX_NORM, SAE_AUX_RESIDUAL_VARIANCE}, {SAE_OPT_CLIP_NORM, 0.05}});
    check_rule_run(context, {"AbsTopK", 40, 19, 61, flags, absolute, SAE_HOST});
    check_rule_run(context, {"AbsTopK, clipped", 33, 32, 600, 0, clipped});
    check_rule_run(context, {"AbsTopK on two devices", 40, 19, 61, flags, clipped, SAE_HOST, {9, 30}, other});
    check_rule_run(context,
                   transcoder({"AbsTopK by norm, with a skip", 40, 19, 61, SAE_SKIP, with(absolute, ranks)}, 24));
    check_rule_run(context, {"TopK by norm", 40, 19, 61, flags, with(top, ranks), SAE_HOST});
    check_rule_run(
        context, {"TopK by norm, decreasing k, all dead", 40, 40, 600, 0, annealed(with(with(top, ranks), many), 20)});
    check_rule_run(context, {"TopK, signed, long rows", 40, 19, 61, flags, with(with(top, is_signed), many)});
    check_rule_run(context, transcoder({"TopK by norm, signed, on two devices",
                                        40,
                                        19,
                                        61,
                                        SAE_SKIP,
                                        with(with(top, ranks), is_signed),
                                        SAE_HOST,
                                        {9, 30},
                                        other},
                                       24));
    const Options multi = with(with(top, is_signed), {{SAE_OPT_MULTI_TOPK, 0.5}});
    check_rule_run(context, {"multi-TopK, signed", 40, 19, 61, flags, multi});
    check_rule_run(context,
                   {"groups, signed", 40, 19, 60, flags, with(with(rule_options(SAE_GROUP_MAX, 6), dying), is_signed)});
    check_rule_run(context, {"JumpReLU, signed", 40, 19, 61, SAE_THRESHOLDS,
                             with(with(sparse_options(), is_signed), {{SAE_OPT_SPARSITY, SAE_SPARSITY_L0}})});
    check_rule_run(context, {"BatchTopK by norm", 70, 19, 61, flags, batch, SAE_HOST});
    check_rule_run(context, {"BatchTopK by norm, signed, decreasing k, in parts",
                             70,
                             19,
                             61,
                             flags,
                             annealed(with(with(batch, is_signed), {{SAE_OPT_THRESHOLD_RATE, 0.3}}), 20),
                             SAE_HOST,
                             {9, 50}});
    check_rule_run(context, {"Matryoshka by prefix and norm", 70, 19, 61, flags, levels});
    const Options unranked = with(levels, {{SAE_OPT_RANK_BY_NORM, 0}});
    check_rule_run(context, {"Matryoshka by prefix, in parts", 70, 19, 61, flags, unranked, SAE_HOST, {9, 12, 50}});
    check_rule_run(
        context,
        transcoder({"Matryoshka by prefix, signed, with a skip", 40, 19, 61, SAE_SKIP, with(unranked, is_signed)}, 24));
    const Options none_short = with(levels, {{SAE_OPT_PREFIX_LATENTS, 3}, {SAE_OPT_AUX_NORM, SAE_AUX_TARGET_VARIANCE}});
    check_rule_run(context, {"Matryoshka by prefix, one without dead latents", 70, 19, 61, flags, none_short});
}

void check_threshold_training(void *context, void *other, bool brief) {
    const Options base = sparse_options();
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    const Options l1 = with(base, {{SAE_OPT_SPARSITY, SAE_SPARSITY_L1}});
    const Options of_batch = with(base, {{SAE_OPT_SPARSITY, SAE_SPARSITY_L0_OF_BATCH}, {SAE_OPT_CLIP_NORM, 0.5}});
    check_rule_run(context, {"ReLU in parts", 40, 19, 61, flags, l1, SAE_HOST, {9, 12, 30}});
    check_rule_run(context,
                   {"JumpReLU on two devices", 40, 19, 61, SAE_THRESHOLDS | flags, of_batch, SAE_HOST, {9, 30}, other});
    if (brief) {
        return;
    }
    for (const int term : {SAE_SPARSITY_NONE, SAE_SPARSITY_L1, SAE_SPARSITY_TANH}) {
        check_rule_run(context, {"ReLU, term " + std::to_string(term), 40, 19, 61, flags,
                                 with(base, {{SAE_OPT_SPARSITY, term}, {SAE_OPT_SPARSITY_WARMUP, 3}})});
    }
    check_rule_run(context, {"ReLU, L1 without norms, frozen decoder", 40, 20, 61, 0,
                             with(l1, {{SAE_OPT_WEIGHT_BY_NORM, 0}, {SAE_OPT_FREEZE_DECODER, 1}})});
    check_rule_run(context, {"ReLU with more entries a row than the first guess", 9, 8, 400, flags, l1});
    check_rule_run(context, {"ReLU warming up on two devices",
                             40,
                             19,
                             61,
                             flags,
                             with(l1, {{SAE_OPT_SPARSITY_WARMUP, 4}}),
                             SAE_HOST,
                             {9, 30},
                             other});
    check_rule_run(context, {"ReLU without an active latent",
                             12,
                             8,
                             20,
                             flags,
                             with(l1, {{SAE_OPT_AUX_COEFFICIENT, 0}}),
                             SAE_DEVICE,
                             {},
                             nullptr,
                             -100});
    for (int term = SAE_SPARSITY_NONE; term <= SAE_SPARSITY_L0_OF_BATCH; term++) {
        check_rule_run(context,
                       {"JumpReLU, term " + std::to_string(term), 40, 19, 61,
                        term % 2 == 0 ? SAE_THRESHOLDS : SAE_THRESHOLDS | flags,
                        with(base, {{SAE_OPT_SPARSITY, term}, {SAE_OPT_STE_TO_INPUT, term % 3 == 0 ? 0 : 1}})});
    }
    check_rule_run(context, {"JumpReLU in parts", 40, 19, 61, SAE_THRESHOLDS | flags, of_batch, SAE_DEVICE, {9, 30}});
}

void check_gated_training(void *context, void *other, bool brief) {
    const Options base = with(sparse_options(), {{SAE_OPT_AUX_COEFFICIENT, 0}, {SAE_OPT_SPARSITY, SAE_SPARSITY_L1}});
    const int32_t flags = SAE_GATED | SAE_SUBTRACT_B_DEC;
    check_rule_run(context, {"gated on two devices", 40, 19, 61, flags, base, SAE_HOST, {9, 30}, other});
    if (brief) {
        return;
    }
    check_rule_run(context, {"gated", 40, 19, 61, flags, base});
    check_rule_run(context, {"gated without a term", 40, 20, 61, SAE_GATED,
                             with(base, {{SAE_OPT_SPARSITY, SAE_SPARSITY_NONE}, {SAE_OPT_TRAIN_B_ENC, 0}})});
    const Options detached = with(base, {{SAE_OPT_GATE_DETACH, 1},
                                         {SAE_OPT_WEIGHT_BY_NORM, 0},
                                         {SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP},
                                         {SAE_OPT_CLIP_NORM, 0}});
    check_rule_run(context, {"gated, detached", 40, 19, 61, flags, detached, SAE_HOST});
    check_rule_run(context, {"gated in parts", 40, 19, 61, flags, detached, SAE_HOST, {9, 30}});
    check_rule_run(context, {"gated without an open gate", 12, 8, 20, flags, base, SAE_DEVICE, {}, nullptr, -100});
}

void check_group_training(void *context, void *other, bool brief) {
    const Options base = with(rule_options(SAE_GROUP_MAX, 6), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}});
    const Options clipped = with(base, {{SAE_OPT_LOSS, SAE_LOSS_FVU},
                                        {SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP},
                                        {SAE_OPT_TRAIN_B_ENC, 1},
                                        {SAE_OPT_CLIP_NORM, 0.05}});
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    check_rule_run(context, {"groups in parts", 40, 19, 60, flags, clipped, SAE_DEVICE, {9, 12, 30}});
    if (brief) {
        return;
    }
    check_rule_run(context, {"groups", 40, 19, 60, flags, base, SAE_HOST});
    check_rule_run(context, {"groups, clipped", 33, 32, 600, 0, clipped});
    check_rule_run(context, {"groups on two devices", 40, 19, 60, flags, base, SAE_HOST, {9, 30}, other});
    check_rule_run(context, transcoder({"groups with a skip", 40, 19, 60, SAE_SKIP, clipped}, 24));
}

void check_transcoder_training(void *context, void *other, bool brief) {
    const Options base = with(rule_options(SAE_TOPK, 4),
                              {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}, {SAE_OPT_TRAIN_B_ENC, 1}});
    const Options fvu = with(base, {{SAE_OPT_LOSS, SAE_LOSS_FVU}, {SAE_OPT_AUX_NORM, SAE_AUX_TARGET_VARIANCE}});
    const Options clipped = with(base, {{SAE_OPT_CLIP_NORM, 0.05},
                                        {SAE_OPT_CLIP_PROJECTED, 1},
                                        {SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP},
                                        {SAE_OPT_AUX_NORM, SAE_AUX_RESIDUAL_VARIANCE},
                                        {SAE_OPT_AUX_DETACH, 1}});
    const Options batch = with(fvu, {{SAE_OPT_RULE, SAE_BATCH_TOPK},
                                     {SAE_OPT_PREFIXES, 2},
                                     {SAE_OPT_PREFIX_LATENTS, 20},
                                     {SAE_OPT_PREFIX_LATENTS + 1, 61},
                                     {SAE_OPT_PREFIX_WEIGHT, 0.5},
                                     {SAE_OPT_PREFIX_WEIGHT + 1, 1}});
    check_rule_run(context,
                   transcoder({"as wide, clipped", 40, 19, 61, 0, with(fvu, {{SAE_OPT_CLIP_NORM, 0.05}})}, 19));
    check_rule_run(context,
                   transcoder({"with a skip, in parts", 40, 19, 61, SAE_SKIP, fvu, SAE_DEVICE, {9, 12, 30}}, 24));
    check_rule_run(context,
                   transcoder({"Matryoshka with a skip, in parts", 40, 19, 61, SAE_SKIP, batch, SAE_HOST, {9}}, 24));
    if (brief) {
        return;
    }
    check_rule_run(context, transcoder({"narrower", 40, 40, 61, 0, base, SAE_HOST}, 24));
    check_rule_run(context, transcoder({"wider", 40, 19, 61, 0, clipped}, 300));
    check_rule_run(context, transcoder({"as wide as it reads", 40, 40, 600, 0, fvu, SAE_HOST}, 40));
    check_rule_run(context, transcoder({"as wide, b_dec subtracted", 40, 19, 61, SAE_SUBTRACT_B_DEC, base}, 19));
    check_rule_run(context, transcoder({"as wide, in parts", 40, 19, 61, 0, base, SAE_HOST, {9, 12}}, 19));
    check_rule_run(context, transcoder({"one row", 1, 19, 61, SAE_SKIP, base}, 7));
    check_rule_run(context, transcoder({"with a skip", 40, 19, 61, SAE_SKIP, fvu, SAE_HOST}, 24));
    check_rule_run(context, transcoder({"with a skip, several tiles", 150, 140, 61, SAE_SKIP, base}, 131));
    check_rule_run(context, transcoder({"with a skip, clipped", 40, 19, 61, SAE_SKIP, clipped}, 24));
    check_rule_run(
        context, transcoder({"with a skip, on two devices", 40, 19, 61, SAE_SKIP, base, SAE_HOST, {9, 30}, other}, 24));
    check_rule_run(context, transcoder({"with a skip and multi-TopK", 40, 19, 61, SAE_SKIP,
                                        annealed(with(fvu, {{SAE_OPT_MULTI_TOPK, 0.5}}), 9)},
                                       24));
    check_rule_run(context, {"SAE with a skip", 40, 19, 61, SAE_SKIP | SAE_SUBTRACT_B_DEC, base});
    check_rule_run(context, transcoder({"Matryoshka with a skip", 40, 19, 61, SAE_SKIP, batch, SAE_HOST}, 24));
    const Options l1 = with(sparse_options(), {{SAE_OPT_SPARSITY, SAE_SPARSITY_L1}});
    check_rule_run(context, transcoder({"L1", 40, 19, 61, 0, l1}, 24));
    check_rule_run(context, transcoder({"JumpReLU with a skip, on two devices",
                                        40,
                                        19,
                                        61,
                                        SAE_THRESHOLDS | SAE_SKIP,
                                        with(sparse_options(), {{SAE_OPT_SPARSITY, SAE_SPARSITY_TANH}}),
                                        SAE_HOST,
                                        {9, 30},
                                        other},
                                       24));
    check_rule_run(context, transcoder({"gated", 40, 19, 61, SAE_GATED, with(l1, {{SAE_OPT_AUX_COEFFICIENT, 0}})}, 24));
}

/* The optimisers besides Adam, with every kind of rule. */
void check_optimizer_training(void *context, void *other, int32_t optimizer, bool brief) {
    const std::vector<std::pair<int, double>> change = {{SAE_OPT_OPTIMIZER, optimizer}};
    const std::string name = optimizer == SAE_SIGNUM ? "signum, " : "muon, ";
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    const Options top =
        with(with(rule_options(SAE_TOPK, 4), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}}), change);
    check_rule_run(context, {name + "TopK", 70, 19, 61, flags, top, SAE_HOST});
    const Options clipped = with(top, {{SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP},
                                       {SAE_OPT_CLIP_NORM, 0.05},
                                       {SAE_OPT_CLIP_PROJECTED, 1},
                                       {SAE_OPT_TRAIN_B_ENC, 1}});
    check_rule_run(
        context,
        transcoder({name + "with a skip, in parts", 40, 19, 61, SAE_SKIP, clipped, SAE_HOST, {9, 12, 30}}, 24));
    if (brief) {
        return;
    }
    check_rule_run(context, {name + "TopK, clipped, norm after", 33, 32, 300, flags, clipped});
    check_rule_run(context, {name + "TopK, wide rows", 5, 1032, 11, 0, with(clipped, {{SAE_OPT_PROJECT_GRADIENT, 0}})});
    check_rule_run(context,
                   {name + "TopK, decoder frozen", 70, 19, 61, flags, with(top, {{SAE_OPT_FREEZE_DECODER, 1}})});
    check_rule_run(context, {name + "TopK in parts", 70, 19, 61, flags, top, SAE_HOST, {9, 12, 50}});
    check_rule_run(context, {name + "TopK on two devices", 70, 19, 61, flags, clipped, SAE_HOST, {9, 12, 50}, other});
    check_rule_run(
        context,
        {name + "BatchTopK", 70, 19, 61, SAE_THRESHOLDS,
         with(with(rule_options(SAE_BATCH_TOPK, 4), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}}), change)});
    const Options sparse = with(with(sparse_options(), {{SAE_OPT_SPARSITY, SAE_SPARSITY_L1}}), change);
    check_rule_run(context, {name + "ReLU in parts", 40, 19, 61, flags, sparse, SAE_HOST, {9, 30}});
    check_rule_run(context, {name + "JumpReLU on two devices",
                             40,
                             19,
                             61,
                             SAE_THRESHOLDS | flags,
                             with(sparse, {{SAE_OPT_SPARSITY, SAE_SPARSITY_L0}}),
                             SAE_DEVICE,
                             {9, 30},
                             other});
    check_rule_run(context,
                   {name + "gated", 40, 19, 61, SAE_GATED | flags, with(sparse, {{SAE_OPT_AUX_COEFFICIENT, 0}})});
    check_rule_run(context, transcoder({name + "with a skip", 40, 19, 61, SAE_SKIP, top, SAE_HOST}, 24));
    check_rule_run(context,
                   {name + "groups", 40, 19, 60, flags, with(with(rule_options(SAE_GROUP_MAX, 6), {}), change)});
}

/* With an option of the context. */
void check_rule_option(const std::string &option, const RuleTrainingCase &of) {
    void *context = nullptr;
    ok(table->context_open(option.c_str(), &context), option.c_str());
    check_rule_run(context, of);
    table->context_close(context);
}

void check_rule_options() {
    const Options batch = with(rule_options(SAE_BATCH_TOPK, 4), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}});
    const Options l0 = with(sparse_options(), {{SAE_OPT_SPARSITY, SAE_SPARSITY_L0}});
    RuleTrainingCase of{"BatchTopK, precision=bf16", 40, 19, 61, 0, batch};
    of.narrow = true;
    check_rule_option("precision=bf16", of);
    of.name = "JumpReLU, precision=bf16";
    of.flags = SAE_THRESHOLDS;
    of.options = l0;
    check_rule_option("precision=bf16", of);
    const Options dying = with(rule_options(SAE_TOPK, 4), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}});
    const Options multi = annealed(with(dying, {{SAE_OPT_MULTI_TOPK, 0.5}}), 9);
    RuleTrainingCase skip = transcoder({"with a skip, precision=bf16", 40, 19, 61, SAE_SKIP, multi}, 24);
    skip.narrow = true;
    check_rule_option("precision=bf16", skip);
    RuleTrainingCase ranked{"TopK by norm, signed, precision=bf16", 40, 19, 61, 0, dying};
    ranked.options = with(dying, {{SAE_OPT_RANK_BY_NORM, 1}, {SAE_OPT_AUX_SIGNED, 1}});
    ranked.narrow = true;
    check_rule_option("precision=bf16", ranked);
    ranked.name = "BatchTopK by norm, signed, precision=bf16";
    ranked.options[SAE_OPT_RULE] = SAE_BATCH_TOPK;
    check_rule_option("precision=bf16", ranked);
    RuleTrainingCase groups{"groups, precision=bf16", 40, 19, 61, 0, dying};
    groups.m = 60;
    groups.options[SAE_OPT_RULE] = SAE_GROUP_MAX;
    groups.narrow = true;
    check_rule_option("precision=bf16", groups);
    skip.narrow = false;
    check_rule_option("kernels=plain", skip);
    check_rule_option("graph=off", skip);
    check_rule_option("step=plain", transcoder({"as wide, step=plain", 40, 19, 61, 0, annealed(dying, 9)}, 19));
    skip.moments = 0.01;
    check_rule_option("moments=bf16", skip);
    of.narrow = false;
    of.name = "JumpReLU, moments=bf16";
    of.moments = 0.01; // of 8 significant bits, the last one rounded up or down
    check_rule_option("moments=bf16", of);
    of.options = with(l0, {{SAE_OPT_OPTIMIZER, SAE_SIGNUM}});
    of.name = "signum, JumpReLU, moments=bf16";
    of.moments = 2e-5; // only Adam's are bfloat16
    check_rule_option("moments=bf16", of);
    of.options = with(l0, {{SAE_OPT_OPTIMIZER, SAE_MUON}});
    of.name = "muon, JumpReLU, moments=bf16";
    check_rule_option("moments=bf16", of);
    of.name = "muon, JumpReLU, kernels=plain";
    check_rule_option("kernels=plain", of);
    of.narrow = true;
    of.name = "signum, JumpReLU, precision=bf16";
    check_rule_option("precision=bf16", of);
}

void check_rule_training(void *context, bool brief) {
    void *other = nullptr;
    if (table->context_open("device=1", &other) != SAE_OK) {
        ok(table->context_open("", &other), "context_open");
    }
    const auto check = [&](const char *name, void (*cases)(void *, void *, bool)) {
        timed(name, [&] { cases(context, other, brief); });
    };
    check("training with a changing k", check_changing_k);
    check("training of multi-TopK", check_multi_topk);
    check("training of groups", check_group_training);
    check("training by rank", check_ranked_training);
    check("training of transcoders", check_transcoder_training);
    check("training of BatchTopK", check_batch_training);
    check("training with thresholds", check_threshold_training);
    check("training with gates", check_gated_training);
    timed("training with signum", [&] { check_optimizer_training(context, other, SAE_SIGNUM, brief); });
    timed("training with Muon", [&] { check_optimizer_training(context, other, SAE_MUON, brief); });
    table->context_close(other);
    if (std::string(table->name) == "cuda" && !brief) { // other backends have no such options
        timed("training with options", [] { check_rule_options(); });
    }
}

} // namespace
#endif
