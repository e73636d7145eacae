package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.study.Grid.Cell;
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

/**
 * The step that trains all SAEs of a data set: every seed and variant, of every entry of the study
 * that reads the same rows, in parallel on one stream of activations.
 */
final class TrainStep {
  private final StudyContext on;

  /**
   * An SAE of any of the entries.
   *
   * @param folder relative to the step's
   * @param dSae latents
   * @param k active latents per token
   * @param training all other settings, including the seed
   */
  private record Member(String folder, int dSae, int k, TrainingConfig training) {
    boolean is(Cell cell) {
      return dSae == cell.variant().dSae()
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

  TrainStep(StudyContext on) {
    this.on = on;
  }

  /** The SAEs of this entry on a data set; trains those of the other entries as well. */
  Trained train(Texts text, ActivationFilter filter) throws IOException {
    ActivationSource source = on.source(text.training(), filter);
    List<Member> members = members(on.sharing(), on.name(), on.model().dModel());
    StepCache.Outcome<Runs> step =
        on.common()
            .run(
                "train-" + text.name(),
                List.of(text.key(), source.description(), members, on.backend().info().name()),
                Runs.class,
                folder -> train(text, filter, source, members, folder));
    List<Curve> curves = new ArrayList<>();
    for (Cell cell : on.grid().cells()) {
      for (int i = 0; i < members.size(); i++) {
        if (members.get(i).is(cell)) {
          Run run = step.result().all().get(i);
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
    return new Trained(text, step.key(), step.folder(), curves);
  }

  /** The number of latents of each SAE trained on an entry's stream. */
  static List<Integer> sizes(Sharing sharing, String entry, int dIn) {
    return members(sharing, entry, dIn).stream().map(Member::dSae).toList();
  }

  /** Each SAE once, even if two entries want it. */
  private static List<Member> members(Sharing sharing, String of, int dIn) {
    List<Member> members = new ArrayList<>();
    for (String entry : sharing.trainedWith(of)) {
      String prefix = entry.equals(sharing.owner(of)) ? "" : entry + ".";
      Grid grid = Grid.of(sharing.config(entry), dIn);
      for (Cell cell : grid.cells()) {
        if (members.stream().noneMatch(member -> member.is(cell))) {
          members.add(
              new Member(
                  prefix + "sae-" + cell.variant().cell(cell.seed()),
                  cell.variant().dSae(),
                  cell.variant().k(),
                  cell.training()));
        }
      }
    }
    return members;
  }

  private Runs train(
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
          SaeTrainer.of(
                  SaeConfig.topK(source.dIn(), member.dSae(), member.k()),
                  member.training(),
                  on.backend())
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
