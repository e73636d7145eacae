package io.faithfulsae.models.iobinding;

import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxSession;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.onnxruntime.Session;
import org.bytedeco.onnxruntime.StringVector;

/** A loaded graph. */
final class IoBindingSession implements OnnxSession {
  private final IoBindingRuntime runtime;
  private final Session session;
  private final Map<String, String> runSettings;
  private final Set<String> inputs;
  private boolean closed;

  IoBindingSession(IoBindingRuntime runtime, Session session, Map<String, String> runSettings) {
    this.runtime = runtime;
    this.session = session;
    this.runSettings = runSettings;
    this.inputs = Set.copyOf(names(session));
  }

  private static Set<String> names(Session session) {
    Set<String> names = new HashSet<>();
    try (StringVector all = session.GetInputNames()) {
      for (long i = 0; i < all.size(); i++) {
        try (BytePointer name = all.get(i)) {
          names.add(name.getString());
        }
      }
    }
    return names;
  }

  @Override
  public Set<String> inputs() {
    return inputs;
  }

  @Override
  public Binding bind() {
    return new IoBindingBinding(runtime, session, runSettings);
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      session.close();
    }
  }
}
