package io.faithfulsae.study;

import io.faithfulsae.study.ModelResults.CommonText;
import io.faithfulsae.study.ModelResults.Evaluation;
import io.faithfulsae.study.ModelResults.SeedPair;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;

/** What readers look for first: each data set's mean over its seeds. */
final class OverviewSection {
  private static final String COMMON = "Common text: ";
  private static final String OWN = "Own text: ";

  private OverviewSection() {}

  static void write(StudyResults results, Html page) {
    page.markup("<h2 id=\"overview\">Overview</h2>");
    List<List<String>> rows = new ArrayList<>();
    for (ModelResults model : results.models()) {
      for (Variant variant : variants(model)) {
        for (ModelResults.DataSet set : model.dataSets()) {
          rows.add(row(model, variant, set.name()));
        }
      }
    }
    page.table(
        "Means over the seeds. Common-text columns use one text for all SAEs of a model and are comparable; own-text columns use a different text for each data set. Click a column heading to sort by it.",
        List.of(
            "Model",
            "SAE",
            "Trained on",
            "SAEs",
            "SFR matched",
            "FFR",
            COMMON + "CE difference (nats)",
            COMMON + "CE loss recovered",
            COMMON + "explained variance",
            COMMON + "dead",
            OWN + "CE difference (nats)",
            OWN + "CE loss recovered",
            OWN + "explained variance",
            OWN + "dead"),
        rows);
    String texts =
        results.models().stream()
            .map(model -> model.name() + ": " + describe(model))
            .collect(Collectors.joining("; "));
    page.note(
        "The common text of "
            + texts
            + ". Own text: the held-out part of the data set that the SAE was trained on.");
  }

  /** Describes a model's common text. */
  static String describe(ModelResults model) {
    CommonText text = model.commonText();
    return text == null
        ? "none (failed)"
        : "%s, %s sequences".formatted(text.description(), Format.count(text.sequences()));
  }

  static List<Variant> variants(ModelResults model) {
    return Grid.of(model.config(), model.model().dIn()).variants();
  }

  private static List<String> row(ModelResults model, Variant variant, String set) {
    List<TrainedSae> saes = saes(model, variant, set);
    List<String> row =
        new ArrayList<>(
            List.of(
                Html.escape(model.name()),
                Html.escape(name(variant)),
                Html.escape(set),
                String.valueOf(saes.size()),
                mean(sharedFeatures(model, variant, set), Format::percent),
                mean(fakeFeatures(saes), Format::percent)));
    for (Function<TrainedSae, Optional<Evaluation>> on :
        List.<Function<TrainedSae, Optional<Evaluation>>>of(
            sae -> Optional.ofNullable(sae.common()), TrainedSae::own)) {
      row.add(mean(values(saes, on, e -> e.crossEntropy().difference()), Format::number));
      row.add(mean(values(saes, on, e -> e.crossEntropy().lossRecovered()), Format::percent));
      row.add(mean(values(saes, on, e -> e.reconstruction().explainedVariance()), Format::percent));
      row.add(mean(values(saes, on, e -> e.reconstruction().deadShare()), Format::percent));
    }
    return row;
  }

  /** A variant's display name: what varies, or k if nothing does. */
  static String name(Variant variant) {
    return variant.label().isEmpty() ? "k = " + variant.k() : variant.label();
  }

  static List<TrainedSae> saes(ModelResults model, Variant variant, String set) {
    return model.saes().stream()
        .filter(sae -> sae.dataSet().equals(set) && sae.variant().equals(variant.label()))
        .toList();
  }

  static DoubleStream sharedFeatures(ModelResults model, Variant variant, String set) {
    return model.seedPairs().stream()
        .filter(pair -> pair.dataSet().equals(set) && pair.variant().equals(variant.label()))
        .map(SeedPair::decoder)
        .mapToDouble(shared -> shared.matched());
  }

  static DoubleStream fakeFeatures(List<TrainedSae> saes) {
    return saes.stream()
        .flatMap(sae -> Stream.ofNullable(sae.fake()))
        .mapToDouble(ModelResults.Fake::ratio);
  }

  static DoubleStream values(
      List<TrainedSae> saes,
      Function<TrainedSae, Optional<Evaluation>> on,
      Function<Evaluation, Double> value) {
    return saes.stream().flatMap(sae -> on.apply(sae).stream()).mapToDouble(value::apply);
  }

  static String mean(DoubleStream values, Function<Double, String> format) {
    return values.average().stream().boxed().map(format).findFirst().orElse(ModelSection.MISSING);
  }
}
