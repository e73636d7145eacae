package io.faithfulsae.study;

import io.faithfulsae.study.ModelResults.DataSet;
import io.faithfulsae.study.provenance.Provenance;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.training.TrainingConfig;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * Describes in words how results were produced, with every setting, seed, version and data hash.
 */
final class Methods {
  private Methods() {}

  /** One paragraph about one model. */
  static String paragraph(ModelResults results, Provenance made) {
    StudyConfig config = results.config();
    TrainingSettings training = config.training();
    FakeSettings fake = config.fakeFeatures();
    StringBuilder text = new StringBuilder();
    text.append(
        "%s sparse autoencoders with %s latents%s were trained with FaithfulSAE for Java %s (%s backend, Java %s, %s) on the activations of %s (SHA-256 of its files %s) at %s, d_in = %d, in sequences of %d tokens. "
            .formatted(
                ModelSection.families(config.sae()),
                list(config.sae().dSae()),
                config.sae().families().stream().anyMatch(SaeFamily::hasK)
                    ? " and k = " + list(config.sae().k())
                    : "",
                made.version(),
                made.backend().name(),
                made.java(),
                made.os(),
                results.model().name(),
                results.model().hash().substring(0, 16),
                results.model().hook(),
                results.model().dIn(),
                Math.min(config.context(), results.model().contextLength())));
    text.append(
        "Data sets: "
            + results.dataSets().stream().map(Methods::dataSet).collect(Collectors.joining("; "))
            + ". ");
    text.append(filter(config.filter(), results.maxNorm()));
    text.append(
        "Each SAE (seeds %s) was trained on %d rows in batches of %d, with a shuffle buffer of %d rows%s: %s. "
            .formatted(
                list(config.seeds()),
                training.tokens(),
                training.batch(),
                training.bufferRows(),
                Grid.of(config, results.model().dIn()).cells().size() > 1
                    ? ", all SAEs of a data set in parallel on one stream of activations"
                    : "",
                recipes(config, results.model().dIn())));
    text.append(
        "The last %s of each data set was held out; reconstruction was measured on up to %d of its rows and cross entropy on up to %d predicted tokens. "
            .formatted(
                Format.percent(config.evaluation().heldOutShare()),
                config.evaluation().rows(),
                config.evaluation().ceTokens()));
    ModelResults.CommonText common = results.commonText();
    if (common != null) {
      text.append("All SAEs were also evaluated on the same %s. ".formatted(common.description()));
    }
    text.append(
        "Shared features: decoder directions of two seeds matched by the assignment that maximises the sum of cosine similarities; pairs above %s are shared. "
            .formatted(config.sharedFeatures().threshold()));
    text.append(
        "Fake features: latents that fire (z > %s) on more than %s of %d uniformly random tokens after BOS (seed %d), firing rates in distribution on up to %d held-out sequences. "
            .formatted(
                fake.activation(),
                Format.percent(fake.frequency()),
                fake.tokens(),
                fake.seed(),
                fake.textSequences()));
    text.append(
        "Noise against text: a two-sided Mann-Whitney test for each latent of the share of a sequence's tokens on which it is active (z > 0), adjusted by Benjamini and Hochberg to a false discovery rate of %s, counting latents that are at least %s times as active on noise. "
            .formatted(
                Format.percent(fake.falseDiscoveryRate()), Format.number(fake.minimumRatio())));
    curves(config, text);
    List<String> tasks =
        results.saes().stream().flatMap(sae -> sae.probing().keySet().stream()).distinct().toList();
    if (!tasks.isEmpty()) {
      text.append(
          "Probes: L2-regularized logistic regression (liblinear, one-vs-rest) on means over tokens, at most %d training and %d test examples of %s, C of 0.1 to 1,000 chosen on a held-out fifth of the training examples. "
              .formatted(
                  config.probing().maxExamples(),
                  config.probing().maxExamples(),
                  String.join(", ", tasks)));
    }
    text.append(
        "Intervals of fake features are Wilson's at %s, widened according to %d resamples of the noise sequences; those of differences are bootstrap intervals with as many resamples (seed %d); those of cross entropy and explained variance are 95 %% studentized bootstrap intervals over sequences; p-values of the comparisons are also given corrected for all of them together (Holm)."
            .formatted(
                Format.percent(config.bootstrap().level()),
                config.bootstrap().resamples(),
                config.bootstrap().seed()));
    return text.toString();
  }

  /** Each preset with its optimizer and schedule. */
  private static String recipes(StudyConfig config, int dIn) {
    List<String> all = new ArrayList<>();
    for (Recipe preset : config.training().preset()) {
      List<TrainingConfig> each =
          config
              .training()
              .configs(preset, config.sae().families().get(0), dIn, config.sae().dSae().get(0));
      TrainingConfig first = each.get(0);
      all.add(
          "the recipe of %s, Adam (betas %s and %s, eps %s), learning rate %s, %d steps of linear warm-up, %d of linear decay"
              .formatted(
                  preset.name().toLowerCase(Locale.ROOT),
                  first.step().adam().beta1(),
                  first.step().adam().beta2(),
                  first.step().adam().eps(),
                  each.stream().map(one -> Grid.number(one.lr())).collect(Collectors.joining(", ")),
                  first.schedule().warmupSteps(),
                  first.schedule().decaySteps()));
    }
    return String.join("; ", all);
  }

  private static void curves(StudyConfig config, StringBuilder text) {
    StudyConfig.FakeVariants variants = config.fakeVariants();
    if (variants.sequences() > 0) {
      text.append(
          "By the other definitions a latent is fake if its activations sum to more than %s in more than %s of %d noise sequences, or if it exceeds %s times its own mean activation on at most %d held-out sequences at more than %s of the tokens of as many noise sequences. "
              .formatted(
                  variants.activation(),
                  Format.percent(variants.frequency()),
                  variants.sequences(),
                  variants.relativeActivation(),
                  variants.sequences(),
                  Format.percent(config.fakeFeatures().frequency())));
    }
    if (config.seedAgreement().rows() > 0) {
      text.append(
          "Seeds were also matched by decoder and encoder directions together, and by the Pearson correlation of their latents on up to %d held-out rows. "
              .formatted(config.seedAgreement().rows()));
    }
    StudyConfig.ByK byK = config.kCurve();
    if (!byK.multiples().isEmpty()) {
      text.append(
          "Each SAE was also evaluated with %s times its own k (at least 1), on up to %d held-out rows, %d predicted tokens and %d random tokens. "
              .formatted(list(byK.multiples()), byK.rows(), byK.ceTokens(), byK.fakeTokens()));
    }
    StudyConfig.Subsets subsets = config.featureSubsets();
    if (!subsets.rankBy().isEmpty()) {
      text.append(
          "Latents that fire on up to %d rows of the training text were ranked by %s, and each SAE was evaluated with the first or last %s of them alone on up to %d held-out rows and %d predicted tokens. "
              .formatted(
                  subsets.rankingRows(),
                  subsets.rankBy().stream()
                      .map(by -> by.name().toLowerCase(Locale.ROOT).replace('_', ' '))
                      .collect(Collectors.joining(" and ")),
                  subsets.shares().stream().map(Format::percent).collect(Collectors.joining(", ")),
                  subsets.rows(),
                  subsets.ceTokens()));
    }
  }

  private static String dataSet(DataSet set) {
    return String.format(
        Locale.ROOT,
        "%s (%s; %d tokens in %d sequences, the last %d held out; SHA-256 of the tokens %s)",
        set.name(),
        set.origin(),
        set.tokens(),
        set.sequences(),
        set.heldOutSequences(),
        set.hash().substring(0, 16));
  }

  private static String filter(StudyConfig.Filter filter, double maxNorm) {
    String bound =
        filter.normMultiple() == null
            ? "norms were not bounded"
            : "rows of norm above %s (%s × the largest median norm of a data set) were left out"
                .formatted(Format.number(maxNorm), Format.number(filter.normMultiple()));
    return "In both training and evaluation the first %d positions of every sequence%s were left out and %s. "
        .formatted(filter.skipPositions(), filter.skipBos() ? " and BOS" : "", bound);
  }

  private static String list(List<? extends Number> numbers) {
    return numbers.stream().map(String::valueOf).collect(Collectors.joining(", "));
  }
}
