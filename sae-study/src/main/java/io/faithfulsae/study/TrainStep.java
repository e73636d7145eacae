package io.faithfulsae.study;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.study.Grid.Cell;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.Trained.Curve;
import io.faithfulsae.study.provenance.TrainedOn;
import io.faithfulsae.study.work.TrainingSession;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingResult;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The step that trains all SAEs of a data set: every seed and variant, of every entry of the study
 * that reads the same rows, in parallel on one stream of activations.
 */
final class TrainStep implements Measurement {

  /**
   * An SAE of any of the entries.
   *
   * @param folder relative to the step's
   * @param dSae latents
   * @param k active latents per token; 0 if the activation has none
   * @param family its activation; null: topk, as studies always had it
   * @param training all other settings, including the seed
   */
  private record Member(
      String folder,
      int dSae,
      int k,
      @JsonInclude(JsonInclude.Include.NON_NULL) @Nullable SaeFamily family,
      TrainingConfig training) {
    static Member of(String folder, Cell cell) {
      SaeFamily family = cell.variant().family();
      return new Member(
          folder,
          cell.variant().dSae(),
          cell.variant().k(),
          family == SaeFamily.TOPK ? null : family,
          cell.training());
    }

    SaeConfig config(int dIn) {
      return family == null
          ? SaeConfig.topK(dIn, dSae, k)
          : new SaeConfig(dIn, dSae, family.activation(k), true, SaeConfig.Normalization.NONE);
    }

    boolean is(Cell cell) {
      return (family == null ? SaeFamily.TOPK : family) == cell.variant().family()
          && dSae == cell.variant().dSae()
          && k == cell.variant().k()
          && training.equals(cell.training());
    }
  }

  /** The course of a member's training. */
  private record Run(
      long steps,
      long rows,
      ActivationFilter.Counts counts,
      List<ModelResults.CurvePoint> points) {}

  /** In member order. */
  private record Runs(List<Run> all) {}

  @Override
  public String name() {
    return "train";
  }

  @Override
  public List<Unit> units(StudyContext on) {
    TrainingSettings training = on.config().training();
    int dIn = on.model().width(on.hook());
    List<Integer> sizes = sizes(on);
    // Weights and both moments in a checkpoint, of which the last two are kept, plus the SAE.
    long saes =
        sizes.stream().mapToLong(size -> parameters(dIn, size) * Float.BYTES * (1 + 2 * 3)).sum();
    long buffer = 2L * training.bufferRows() * dIn * Float.BYTES;
    Cost cost = Cost.ofTraining(training.tokens(), sizes.size(), saes + buffer);
    return on.config().dataSets().stream()
        .map(
            set ->
                Unit.common(
                    on,
                    name() + "-" + set.name(),
                    cost,
                    (found, step) ->
                        found.trained.put(
                            set.name(), train(on, found.text(set), found.filter(), step))))
        .toList();
  }

  /** The number of latents of each SAE trained on an entry's stream. */
  static List<Integer> sizes(StudyContext on) {
    return members(on).stream().map(Member::dSae).toList();
  }

  /** Of an SAE with both biases. */
  static long parameters(long dIn, long dSae) {
    return 2 * dIn * dSae + dSae + dIn;
  }

  /** The SAEs of this entry on a data set; trains those of the other entries as well. */
  private static Trained train(StudyContext on, Texts text, ActivationFilter filter, Step step)
      throws IOException {
    ActivationSource source = on.source(text.training(), filter);
    List<Member> members = members(on);
    StepCache.Outcome<Runs> trained =
        step.run(
            List.of(text.key(), source.description(), members, on.backend().info().name()),
            Runs.class,
            folder -> train(on, text, filter, source, members, folder));
    List<Curve> curves = new ArrayList<>();
    for (Cell cell : on.grid().cells()) {
      for (int i = 0; i < members.size(); i++) {
        if (members.get(i).is(cell)) {
          Run run = trained.result().all().get(i);
          curves.add(
              new Curve(
                  text.name() + "-" + cell.variant().cell(cell.seed()),
                  members.get(i).folder(),
                  cell.variant(),
                  cell.seed(),
                  run.steps(),
                  run.rows(),
                  run.counts(),
                  run.points()));
        }
      }
    }
    return new Trained(text, trained.key(), trained.folder(), curves);
  }

  /** Each SAE once, even if two entries want it. */
  private static List<Member> members(StudyContext on) {
    Sharing sharing = on.sharing();
    List<Member> members = new ArrayList<>();
    for (String entry : sharing.trainedWith(on.name())) {
      String prefix = entry.equals(sharing.owner(on.name())) ? "" : entry + ".";
      Grid grid = Grid.of(sharing.config(entry), on.model().width(on.hook()));
      for (Cell cell : grid.cells()) {
        if (members.stream().noneMatch(member -> member.is(cell))) {
          members.add(Member.of(prefix + "sae-" + cell.variant().cell(cell.seed()), cell));
        }
      }
    }
    return members;
  }

  private static Runs train(
      StudyContext on,
      Texts text,
      ActivationFilter filter,
      ActivationSource source,
      List<Member> members,
      Path folder)
      throws IOException {
    Map<String, String> metadata =
        new TrainedOn(on.model().name(), on.hook(), text.name(), on.context(), filter).metadata();
    List<SaeTrainer> trainers = new ArrayList<>();
    List<Path> dirs = new ArrayList<>();
    List<CurveFile> curves = new ArrayList<>();
    for (Member member : members) {
      CurveFile curve = new CurveFile(folder.resolve(member.folder() + "-curve.jsonl"));
      trainers.add(
          SaeTrainer.of(member.config(source.dIn()), member.training(), on.backend())
              .withMetadata(metadata)
              .withListener(curve));
      dirs.add(folder.resolve(member.folder()));
      curves.add(curve);
    }
    List<TrainingResult> results =
        TrainingSession.run(text.name(), trainers, source, dirs, true, on.listener());
    List<Run> runs = new ArrayList<>();
    for (int i = 0; i < results.size(); i++) {
      TrainingResult result = results.get(i);
      runs.add(new Run(result.steps(), result.tokens(), result.counts(), curves.get(i).points()));
    }
    return new Runs(runs);
  }
}
