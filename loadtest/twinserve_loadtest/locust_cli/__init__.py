"""What ``locust -f`` needs: the locustfile, load shapes, distributed runs and the web page."""
