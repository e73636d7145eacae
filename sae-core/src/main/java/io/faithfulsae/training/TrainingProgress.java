package io.faithfulsae.training;

import java.time.Duration;

/**
 * What a run says after each step.
 *
 * @param step steps done
 * @param steps steps of the whole run
 * @param tokens rows trained on so far
 * @param loss total loss of this step
 * @param fvu fraction of variance unexplained of this step's batch
 * @param l0 mean number of latents that fired
 * @param dead latents that are dead after this step
 * @param tokensPerSecond rows a second since the run was started or resumed
 * @param eta estimated time left
 */
public record TrainingProgress(
    long step,
    long steps,
    long tokens,
    double loss,
    double fvu,
    double l0,
    long dead,
    double tokensPerSecond,
    Duration eta) {}
