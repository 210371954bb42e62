// Browsers refuse workers to pages that are opened from a disk. There the search runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inner = frame.contentWindow;
      this.inner.postMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        this.onmessage?.(event);
      };
      const script = this.inner.document.createElement("script");
      script.src = url;
      this.loaded = new Promise((done) => (script.onload = done));
      this.inner.document.body.append(script);
    }
    postMessage(data) {
      const event = () => new this.inner.MessageEvent("message", { data });
      this.loaded.then(() => this.inner.dispatchEvent(event()));
    }
    terminate() {
      this.inner.frameElement.remove();
    }
  };
}
