package io.faithfulsae.models.explain;

import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.net.http.HttpResponse.BodySubscriber;
import java.net.http.HttpResponse.BodySubscribers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import org.jspecify.annotations.Nullable;

/** The body of an answer as text, given up when it is longer than any answer needs to be. */
final class BoundedBody implements BodySubscriber<String> {
  private final int most;
  private final BodySubscriber<String> text = BodySubscribers.ofString(StandardCharsets.UTF_8);
  private Flow.@Nullable Subscription subscription;
  private long received;

  BoundedBody(int most) {
    this.most = most;
  }

  @Override
  public CompletionStage<String> getBody() {
    return text.getBody();
  }

  @Override
  public void onSubscribe(Flow.Subscription to) {
    subscription = to;
    text.onSubscribe(to);
  }

  @Override
  public void onNext(List<ByteBuffer> parts) {
    received += parts.stream().mapToLong(ByteBuffer::remaining).sum();
    if (received <= most) {
      text.onNext(parts);
      return;
    }
    if (subscription != null) {
      subscription.cancel();
    }
    text.onError(
        new IOException(
            Expected.message(
                "an answer of at most " + most + " bytes", "more", "ask another server")));
  }

  @Override
  public void onError(Throwable failure) {
    text.onError(failure);
  }

  @Override
  public void onComplete() {
    text.onComplete();
  }
}
